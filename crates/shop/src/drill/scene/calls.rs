//! A set of calls, and what can be said of it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use crate::history::{Call, Outcome};

/// Calls that were answered.
#[derive(Clone, Debug)]
pub(crate) struct Calls(pub(super) Vec<Call>);

impl Calls {
    /// How many.
    pub(crate) fn answered(&self) -> usize {
        self.0.len()
    }

    /// Those that were answered OK.
    pub(crate) fn ok(&self) -> usize {
        self.count(Outcome::Ok)
    }

    /// Those that were answered anything else.
    pub(crate) fn not_ok(&self) -> usize {
        self.answered() - self.ok()
    }

    /// Those of which nobody knows what they did.
    pub(crate) fn unknown(&self) -> usize {
        self.count(Outcome::Unknown)
    }

    /// Those that were answered OK.
    pub(crate) fn oks(&self) -> Self {
        self.only(|call| call.outcome() == Outcome::Ok)
    }

    /// Those for which there was no place.
    pub(crate) fn refused(&self) -> Self {
        self.only(|call| {
            let answer = call.answer.as_ref();
            answer.is_some_and(|answer| answer.code == "RESOURCE_EXHAUSTED")
        })
    }

    fn only(&self, which: impl Fn(&Call) -> bool) -> Self {
        Self(self.0.iter().filter(|call| which(call)).cloned().collect())
    }

    /// How often the most patient customer asked.
    pub(crate) fn most_tries(&self) -> usize {
        let mut tries: HashMap<&str, usize> = HashMap::new();
        for call in &self.0 {
            *tries.entry(&call.request_id).or_default() += 1;
        }
        tries.values().copied().max().unwrap_or(0)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|c| c.outcome() == outcome).count()
    }

    /// How long the slowest call took.
    pub(crate) fn slowest(&self) -> Duration {
        let took = self.0.iter().filter_map(Call::took);
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
        let mut took: Vec<Duration> = self.0.iter().filter_map(Call::took).collect();
        took.sort_unstable();
        let at = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(at).copied().unwrap_or_default()
    }

    /// Answers other than OK, by code.
    fn codes(&self) -> BTreeMap<&str, usize> {
        let mut codes = BTreeMap::new();
        for answer in self.0.iter().filter_map(|call| call.answer.as_ref()) {
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
        for (code, count) in self.codes() {
            write!(f, "; {count} × {code}")?;
        }
        Ok(())
    }
}
