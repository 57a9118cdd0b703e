//! What a run has shown, in numbers. Pure: calls, orders, samples and findings in, figures out.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    notes::Noted,
    scene::Ended,
    timeline::{Story, quantile},
    traced::Traces,
    watching::{STALE_SECONDS, Sample},
};
use crate::{
    books::Rule,
    history::{Call, Outcome},
};

/// The numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// How often each kind of fault was injected.
    pub(crate) injected: BTreeMap<String, usize>,
    /// Calls of `PlaceOrder`, tries included.
    pub(crate) calls: usize,
    pub(crate) ok: usize,
    pub(crate) fail: usize,
    pub(crate) unknown: usize,
    /// Requests of which a call's outcome was unknown, and is known now.
    pub(crate) unknown_resolved: usize,
    /// Customers who gave up without an answer.
    pub(crate) unanswered: usize,
    /// Orders that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Of these, those that are READY.
    pub(crate) ready: usize,
    /// Orders on which the books found something, by what it is.
    pub(crate) lost: usize,
    pub(crate) made_twice: usize,
    pub(crate) charged_wrongly: usize,
    pub(crate) went_backwards: usize,
    pub(crate) not_published: usize,
    #[serde(default)]
    pub(crate) never_happened: usize,
    /// Messages on both topics, repeats included; absent where Kafka was wiped.
    #[serde(default)]
    pub(crate) published: Option<usize>,
    /// Messages that were published again, as the topics show; absent where Kafka was wiped.
    pub(crate) published_again: Option<usize>,
    /// Events that an inbox knew; absent if no service told.
    pub(crate) duplicates_absorbed: Option<u64>,
    /// Events that were published after a later one of the same order, and moved nothing back.
    pub(crate) inversions_refused: Option<usize>,
    /// Orders that are traced, and of these those whose spans are one connected tree; absent if there
    /// were more spans than are kept.
    #[serde(default)]
    pub(crate) traced: Option<usize>,
    #[serde(default)]
    pub(crate) one_tree: Option<usize>,
    /// From the first fault until it showed: in an answer, at the circuit, or in an outbox.
    pub(crate) detected_ms: Option<u64>,
    /// From the healing of the last fault.
    pub(crate) first_ok_ms: Option<u64>,
    pub(crate) first_ready_ms: Option<u64>,
    /// Until the last order was over that was placed before the healing.
    pub(crate) backlog_gone_ms: Option<u64>,
    /// From when a customer was to come until OK, tries included.
    pub(crate) wait_p50_ms: f64,
    pub(crate) wait_p99_ms: f64,
    pub(crate) wait_max_ms: f64,
}

/// What is known of a run.
pub(super) struct Known<'a> {
    pub(super) calls: &'a [Call],
    pub(super) stories: &'a [Story],
    pub(super) noted: &'a Noted,
    pub(super) samples: &'a [Sample],
    pub(super) ended: Option<&'a Ended>,
    pub(super) duplicates: Option<u64>,
    pub(super) traces: Option<&'a Traces>,
}

impl Known<'_> {
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures {
            calls: self.calls.len(),
            ok: self.count(Outcome::Ok),
            fail: self.count(Outcome::Fail),
            unknown: self.count(Outcome::Unknown),
            duplicates_absorbed: self.duplicates,
            traced: self.traces.map(|traces| traces.count),
            one_tree: self.traces.map(Traces::whole),
            detected_ms: self.detected_ms(),
            ..Figures::default()
        };
        for fault in &self.noted.faults {
            *figures.injected.entry(fault.kind.clone()).or_default() += 1;
        }
        self.requests(&mut figures);
        self.orders(&mut figures);
        self.books(&mut figures);
        self.recovery(&mut figures);
        figures
    }

    fn count(&self, outcome: Outcome) -> usize {
        let calls = self.calls.iter();
        calls.filter(|call| call.outcome() == outcome).count()
    }

    /// What became of each request, whatever single calls were answered.
    fn requests(&self, figures: &mut Figures) {
        let mut requests: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in self.calls {
            requests.entry(&call.request_id).or_default().push(call);
        }
        for (request_id, calls) in &requests {
            let mut outcomes = calls.iter().map(|call| call.outcome());
            let was_unknown = outcomes.any(|outcome| outcome == Outcome::Unknown);
            let settled = calls.iter().any(|call| call.settles_it());
            let found = self.ended.is_some_and(|e| e.found.contains(*request_id));
            figures.unknown_resolved += usize::from(was_unknown && (settled || found));
            figures.unanswered += usize::from(!settled);
        }
    }

    fn orders(&self, figures: &mut Figures) {
        let answers = self.calls.iter().filter_map(|call| call.answer.as_ref());
        let ids: HashSet<Uuid> = answers.filter_map(|answer| answer.order_id).collect();
        figures.acknowledged = ids.len();
        let ready = self.stories.iter().filter(|story| story.is_ready());
        figures.ready = ready.filter(|story| ids.contains(&story.order_id)).count();
        let ok = self.calls.iter().filter(|c| c.outcome() == Outcome::Ok);
        let mut waited: Vec<f64> = ok
            .filter_map(Call::waited)
            .map(|waited| waited.as_secs_f64() * 1_000.0)
            .collect();
        waited.sort_unstable_by(f64::total_cmp);
        figures.wait_p50_ms = quantile(&waited, 50);
        figures.wait_p99_ms = quantile(&waited, 99);
        figures.wait_max_ms = waited.last().copied().unwrap_or(0.0);
    }

    fn books(&self, figures: &mut Figures) {
        let Some(ended) = self.ended else { return };
        let found = |rules: &[Rule]| {
            let findings = ended.books.findings.iter();
            let findings = findings.filter(|finding| rules.contains(&finding.rule));
            let orders: HashSet<Uuid> = findings.map(|finding| finding.order_id).collect();
            orders.len()
        };
        figures.lost = found(&[Rule::Lost]);
        figures.made_twice = found(&[Rule::NotMadeAsOrdered]);
        figures.charged_wrongly = found(&[
            Rule::NotChargedOnce,
            Rule::ChargedForNothing,
            Rule::ChargedTwice,
            Rule::RefundWrong,
            Rule::GivenBackWrong,
        ]);
        figures.went_backwards = found(&[Rule::OrderHistoryBroken, Rule::TicketHistoryBroken]);
        figures.not_published = found(&[Rule::NotPublished]);
        figures.never_happened = found(&[Rule::NeverHappened]);
        let topics = ended.published.as_ref();
        figures.published = topics.map(|topics| topics.messages);
        figures.published_again = topics.map(|topics| topics.repeats);
        figures.inversions_refused = topics.map(|topics| topics.inversions);
    }

    /// The first sign of the first fault.
    fn detected_ms(&self) -> Option<u64> {
        let broken = self.noted.broken_us()?;
        let answers = self.calls.iter().filter_map(|call| call.answer.as_ref());
        let bad = answers.filter(|answer| answer.outcome != Outcome::Ok);
        let bad = bad.map(|answer| answer.answered_us);
        let ill = self.samples.iter().filter(|sample| is_ill(sample));
        let signs = bad.chain(ill.map(|sample| sample.at_us));
        let first = signs.filter(|sign| *sign >= broken).min()?;
        Some((first - broken) / 1_000)
    }

    fn recovery(&self, figures: &mut Figures) {
        let Some(healed) = self.noted.healed_us() else {
            return;
        };
        let since = |time: u64| time.saturating_sub(healed) / 1_000;
        let ok = self.calls.iter().filter(|c| c.outcome() == Outcome::Ok);
        let ok = ok.filter_map(|call| call.answer.as_ref());
        let ok = ok.map(|answer| answer.answered_us);
        figures.first_ok_ms = ok.filter(|time| *time >= healed).min().map(since);
        let ready = self.stories.iter().filter(|story| story.is_ready());
        let ready = ready.filter_map(|story| story.over_us);
        figures.first_ready_ms = ready.filter(|time| *time >= healed).min().map(since);
        let before = self.stories.iter().filter(|s| s.placed_us < healed);
        let last = before.filter_map(|story| story.over_us).max();
        figures.backlog_gone_ms = last.map(since);
    }
}

fn is_ill(sample: &Sample) -> bool {
    let circuit = sample.circuit.as_ref();
    let stale = sample.outbox;
    circuit.is_some_and(|circuit| circuit.state != "closed")
        || stale.is_some_and(|outbox| outbox.age_seconds > STALE_SECONDS)
}
