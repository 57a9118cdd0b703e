//! A set of calls, and what can be said of it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use super::ANSWERED_WITHIN;
use crate::history::{Call, Outcome};

/// Calls that were under way, or made, in a time.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(super) calls: Vec<Call>,
    /// When that time began.
    pub(super) from_us: u64,
    /// When it ended: those that came later are not among them.
    pub(super) until_us: u64,
    /// When they were looked at: the age of those that are not answered.
    pub(super) now_us: u64,
}

impl Calls {
    /// Those of all calls that were not answered before that time, nor asked after it.
    pub(super) fn of(mut calls: Vec<Call>, from_us: u64, until_us: u64, now_us: u64) -> Self {
        calls.retain(|call| {
            let answer = call.answer.as_ref();
            let begun = call.asked_us <= until_us;
            begun && answer.is_none_or(|answer| answer.answered_us >= from_us)
        });
        Self {
            calls,
            from_us,
            until_us,
            now_us,
        }
    }

    /// Whether every one that was answered was answered OK.
    pub(crate) fn all_ok(&self) -> bool {
        self.not_ok() == 0
    }

    /// Whether none waits for its deadline, or has waited for it.
    pub(crate) fn in_time(&self) -> bool {
        self.slowest() < ANSWERED_WITHIN
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> usize {
        self.calls.iter().filter(|c| c.answer.is_some()).count()
    }

    /// Those that are not answered yet.
    pub(crate) fn under_way(&self) -> usize {
        self.calls.len() - self.answered()
    }

    /// Orders that were placed by calls that began in that time.
    pub(crate) fn placed(&self) -> u64 {
        let oks = self.calls.iter().filter(|c| c.outcome() == Outcome::Ok);
        oks.filter(|c| c.asked_us >= self.from_us).count() as u64
    }

    /// Those that were answered OK.
    pub(crate) fn ok(&self) -> usize {
        self.count(Outcome::Ok)
    }

    /// Those that were answered anything else.
    pub(crate) fn not_ok(&self) -> usize {
        self.answered() - self.ok()
    }

    /// Those that were answered OK.
    pub(crate) fn oks(&self) -> Self {
        self.only(|call| call.outcome() == Outcome::Ok)
    }

    /// Those that nobody has begun: not sent, or refused by a process that was starting.
    fn not_begun(&self) -> usize {
        let met = self.only(|call| {
            let answer = call.answer.as_ref();
            let unavailable = answer.is_some_and(|answer| answer.code == "UNAVAILABLE");
            unavailable && call.outcome() == Outcome::Fail
        });
        met.calls.len()
    }

    /// Whether every one that was begun was answered OK.
    pub(crate) fn begun_ok(&self) -> bool {
        self.not_ok() == self.not_begun()
    }

    /// Those for which there was no place.
    pub(crate) fn refused(&self) -> Self {
        self.only(|call| {
            let answer = call.answer.as_ref();
            answer.is_some_and(|answer| answer.code == "RESOURCE_EXHAUSTED")
        })
    }

    fn only(&self, which: impl Fn(&Call) -> bool) -> Self {
        let calls = self.calls.iter().filter(|call| which(call));
        Self {
            calls: calls.cloned().collect(),
            ..*self
        }
    }

    /// How often the most patient customer asked.
    pub(crate) fn most_tries(&self) -> usize {
        let mut tries: HashMap<&str, usize> = HashMap::new();
        for call in &self.calls {
            *tries.entry(&call.request_id).or_default() += 1;
        }
        tries.values().copied().max().unwrap_or(0)
    }

    fn count(&self, outcome: Outcome) -> usize {
        let answered = self.calls.iter().filter(|c| c.answer.is_some());
        answered.filter(|c| c.outcome() == outcome).count()
    }

    /// How long the call took, or has taken so far.
    fn took(&self, call: &Call) -> Duration {
        let age = || Duration::from_micros(self.now_us.saturating_sub(call.asked_us));
        call.took().unwrap_or_else(age)
    }

    /// How long the slowest call took.
    pub(crate) fn slowest(&self) -> Duration {
        let took = self.calls.iter().map(|call| self.took(call));
        took.max().unwrap_or_default()
    }

    /// What the calls took of which 99 in a hundred were quicker.
    pub(crate) fn p99(&self) -> Duration {
        self.quantile(99)
    }

    /// What half of them took less than.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(50)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let took = self.calls.iter().map(|call| self.took(call));
        let mut took: Vec<Duration> = took.collect();
        took.sort_unstable();
        let at = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(at).copied().unwrap_or_default()
    }

    /// Answers other than OK, by code.
    fn codes(&self) -> BTreeMap<&str, usize> {
        let mut codes = BTreeMap::new();
        for answer in self.calls.iter().filter_map(|call| call.answer.as_ref()) {
            if answer.outcome != Outcome::Ok {
                *codes.entry(answer.code.as_str()).or_default() += 1;
            }
        }
        codes
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered, {} OK", self.answered(), self.ok())?;
        if let (slowest @ 1.., all) = (self.slowest().as_millis(), self.p99().as_millis()) {
            write!(f, ", p99 {all} ms, slowest {slowest} ms")?;
        }
        if let under_way @ 1.. = self.under_way() {
            write!(f, "; {under_way} under way")?;
        }
        for (code, count) in self.codes() {
            write!(f, "; {count} × {code}")?;
        }
        Ok(())
    }
}
