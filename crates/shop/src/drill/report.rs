//! All that is known after a drill, and the verdict.

use std::collections::HashMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    figures::{Figures, Known},
    notes::Noted,
    scene::{Ended, Scene},
    script::Drill,
    timeline::{Story, Timeline, stories},
};
use crate::{books::Finding, history::Call};

/// Orders that are shown one by one.
const SHOWN: usize = 8;

/// What a drill has shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) drill: String,
    pub(crate) hypothesis: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) rate: u32,
    /// Why it failed; nothing if it passed.
    pub(crate) failures: Vec<String>,
    #[serde(flatten)]
    pub(crate) noted: Noted,
    pub(crate) figures: Figures,
    pub(crate) timeline: Timeline,
    /// The slowest orders, and those on which the books found something.
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
        let samples = scene.samples();
        let figures = Known {
            calls: &calls,
            stories: &stories,
            noted: &noted,
            samples: &samples,
            ended: ended.as_ref(),
            duplicates: scene.sum("coffeeshop.inbox.duplicates"),
            absorbed: scene.sum("coffeeshop.inbox.absorbed"),
        }
        .figures();
        let findings = ended.as_ref().map_or(&[][..], |e| &e.books.findings);
        let mut failures = errors;
        failures.extend(verdict(&noted, &figures, &calls, findings));
        Ok(Self {
            drill: drill.name.to_owned(),
            hypothesis: drill.hypothesis(),
            time: began,
            seed: scene.settings.seed,
            seconds: scene.settings.seconds,
            rate: scene.settings.rate,
            failures,
            orders: shown(&stories, findings),
            timeline: Timeline::new(&calls, &stories, samples),
            figures,
            noted,
        })
    }
}

/// Why a drill fails.
fn verdict(
    noted: &Noted,
    figures: &Figures,
    calls: &[Call],
    findings: &[Finding],
) -> impl Iterator<Item = String> {
    let books = findings
        .iter()
        .map(|finding| format!("the books: {finding}"));
    let claims = noted.claims.iter().filter(|claim| !claim.holds);
    let claims = claims.map(|claim| format!("did not hold: {} ({})", claim.claim, claim.seen));
    let bites = noted.bites.iter().filter(|bite| bite.count == 0);
    let bites = bites.map(|bite| format!("the fault never bit: no {}", bite.what));
    let none = noted
        .bites
        .is_empty()
        .then(|| "nothing shows that a fault bit".to_owned());
    let gave_up = (figures.unanswered > 0)
        .then(|| format!("{} customers gave up without an answer", figures.unanswered));
    let twofold = twofold(calls).map(|id| format!("one request became two orders: {id}"));
    let all = books.chain(claims).chain(bites).chain(none);
    let all = all.chain(gave_up).chain(twofold);
    all.collect::<Vec<_>>().into_iter()
}

/// Requests that were answered with more than one order.
fn twofold(calls: &[Call]) -> impl Iterator<Item = &str> {
    let mut orders: HashMap<&str, Uuid> = HashMap::new();
    calls.iter().filter_map(move |call| {
        let order_id = call.answer.as_ref()?.order_id?;
        let first = *orders.entry(&call.request_id).or_insert(order_id);
        (first != order_id).then_some(call.request_id.as_str())
    })
}

/// The strangest first, then the slowest.
fn shown(stories: &[Story], findings: &[Finding]) -> Vec<Story> {
    let strange = |story: &Story| findings.iter().any(|f| f.order_id == story.order_id);
    let mut stories: Vec<&Story> = stories.iter().collect();
    stories.sort_by_key(|story| {
        let lasted = story.lasted_us().unwrap_or(u64::MAX);
        std::cmp::Reverse((strange(story), lasted))
    });
    stories.into_iter().take(SHOWN).cloned().collect()
}
