//! All that is known after a drill, and the verdict.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Settings,
    figures::{Figures, Known},
    notes::{Claim, Noted},
    scene::{Ended, Scene},
    script::Drill,
    timeline::{Story, Timeline, stories},
    traced::{Traced, Traces},
};
use crate::books::Finding;

/// Orders that are shown one by one.
const SHOWN: usize = 8;
/// Of these, those with which nothing is wrong but their trace.
const SHOWN_TORN: usize = 2;

/// What a drill has shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) drill: String,
    pub(crate) hypothesis: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) seed: u64,
    /// Of all runs that this one stands for.
    #[serde(default)]
    pub(crate) seeds: Seeds,
    pub(crate) seconds: u64,
    pub(crate) rate: u32,
    /// Why it failed; nothing if it passed.
    pub(crate) failures: Vec<String>,
    #[serde(flatten)]
    pub(crate) noted: Noted,
    pub(crate) figures: Figures,
    /// What the services have counted, by the names of their counters.
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) timeline: Timeline,
    /// The slowest orders, those on which the books found something, and some whose trace is torn.
    pub(crate) orders: Vec<Story>,
}

/// How a run went, as far as it came.
pub(super) struct Run<'a> {
    pub(super) drill: &'a Drill,
    pub(super) scene: &'a Scene,
    /// None if it did not come that far.
    pub(super) ended: Option<Ended>,
    /// What went wrong on the way.
    pub(super) errors: Vec<String>,
}

impl Report {
    /// The verdict.
    pub(crate) fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Of a drill whose shop did not open, or could not be ended.
    pub(super) fn not_run(drill: &Drill, settings: &Settings, error: &anyhow::Error) -> Self {
        Self {
            drill: drill.name.to_owned(),
            hypothesis: drill.hypothesis(),
            time: Utc::now(),
            seed: settings.seed,
            seeds: Seeds::default(),
            seconds: settings.seconds,
            rate: settings.rate,
            failures: vec![format!("{error:#}")],
            noted: Noted::default(),
            figures: Figures::default(),
            counters: BTreeMap::new(),
            timeline: Timeline::default(),
            orders: Vec::new(),
        }
    }

    pub(super) async fn of(run: Run<'_>) -> Result<Self> {
        let Run {
            drill,
            scene,
            ended,
            errors,
        } = run;
        let (calls, began, noted) = (scene.calls(), scene.began_time(), scene.noted());
        // Postgres may be what is broken.
        let stories = stories(&scene.shop.reception_pool(), began).await;
        let stories = stories.unwrap_or_default();
        let traces = Traces::of(&stories, scene.spans());
        let samples = scene.samples();
        let figures = Known {
            calls: &calls,
            stories: &stories,
            noted: &noted,
            samples: &samples,
            ended: ended.as_ref(),
            duplicates: scene.sum("coffeeshop.inbox.duplicates"),
            traces: traces.as_ref(),
        }
        .figures();
        let findings = ended.as_ref().map_or(&[][..], |e| &e.books.findings);
        let mut orders = shown(&stories, findings, &traces.unwrap_or_default());
        for order in &mut orders {
            let tree = order.trace.as_ref().map(|trace| scene.spans().tree(trace));
            order.traced = tree.and_then(|tree| Traced::of(&tree, began));
        }
        let failures = match errors.is_empty() {
            true => verdict(&noted, &figures, findings),
            // What did not come to its end has nothing else to say.
            false => errors,
        };
        Ok(Self {
            drill: drill.name.to_owned(),
            hypothesis: drill.hypothesis(),
            time: began,
            seed: scene.settings.seed,
            seeds: Seeds::default(),
            seconds: scene.settings.seconds,
            rate: scene.settings.rate,
            failures,
            orders,
            counters: scene.sums(),
            timeline: Timeline::new(&calls, &stories, samples),
            figures,
            noted,
        })
    }
}

/// How a drill went with several seeds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seeds {
    passed: Vec<u64>,
    failed: Vec<u64>,
}

impl Seeds {
    pub(super) fn add(&mut self, seed: u64, passed: bool) {
        match passed {
            true => self.passed.push(seed),
            false => self.failed.push(seed),
        }
    }
}

impl fmt::Display for Seeds {
    /// `20 seeds, red: 7, 13`; nothing of one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<String> = self.failed.iter().map(u64::to_string).collect();
        match (self.passed.len() + self.failed.len(), failed.len()) {
            (0 | 1, _) => Ok(()),
            (seeds, 0) => write!(f, "{seeds} seeds"),
            (seeds, _) => write!(f, "{seeds} seeds, red: {}", failed.join(", ")),
        }
    }
}

/// Why a drill fails that came to its end.
fn verdict(noted: &Noted, figures: &Figures, findings: &[Finding]) -> Vec<String> {
    let mut failures = Vec::new();
    for finding in findings {
        failures.push(format!("the books: {finding}"));
    }
    for Claim { claim, seen, .. } in noted.claims.iter().filter(|claim| !claim.holds) {
        failures.push(format!("did not hold: {claim} ({seen})"));
    }
    for bite in noted.bites.iter().filter(|bite| bite.count == 0) {
        failures.push(format!("the fault never bit: no {}", bite.what));
    }
    if noted.bites.is_empty() {
        failures.push("nothing shows that a fault bit".to_owned());
    }
    if figures.unanswered > 0 {
        let customers = figures.unanswered;
        failures.push(format!("customers gave up without an answer: {customers}"));
    }
    failures
}

/// The strangest first: those on which the books found something, then a few whose trace is torn. Then
/// the slowest.
fn shown(stories: &[Story], findings: &[Finding], traces: &Traces) -> Vec<Story> {
    let wrong = |story: &Story| findings.iter().any(|f| f.order_id == story.order_id);
    let torn = |story: &Story| traces.torn.contains(&story.order_id);
    let mut stories: Vec<&Story> = stories.iter().collect();
    stories.sort_by_key(|story| Reverse(story.lasted_us().unwrap_or(u64::MAX)));
    let (wrong, others): (Vec<&Story>, Vec<&Story>) = stories.into_iter().partition(|s| wrong(s));
    let (torn, slow): (Vec<&Story>, Vec<&Story>) = others.into_iter().partition(|s| torn(s));
    let torn = torn.into_iter().take(SHOWN_TORN);
    let shown = wrong.into_iter().chain(torn).chain(slow);
    shown.take(SHOWN).cloned().collect()
}

#[cfg(test)]
mod tests;
