//! What happened in a drill, as it happened: faults, claims, bites.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Something that was broken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// What was done: `Kafka stopped`.
    pub(crate) kind: String,
    /// Microseconds since the history began.
    pub(crate) from_us: u64,
    /// When its healing began; until the end if there is none.
    pub(crate) healing_us: Option<u64>,
    /// When it was whole again.
    pub(crate) until_us: Option<u64>,
}

/// Something that had to hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// What.
    pub(crate) claim: String,
    /// Whether it did.
    pub(crate) holds: bool,
    /// What was seen.
    pub(crate) seen: String,
}

/// How often a fault was met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bite {
    /// By what: `calls that were not answered OK`.
    pub(crate) what: String,
    /// Zero proves nothing.
    pub(crate) count: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) faults: Vec<Fault>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) bites: Vec<Bite>,
}

/// Where it is noted.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Noted>);

impl Notes {
    pub(super) fn all(&self) -> Noted {
        self.lock().clone()
    }

    pub(super) fn breaks(&self, kind: &str, now_us: u64) {
        self.lock().faults.push(Fault {
            kind: kind.to_owned(),
            from_us: now_us,
            healing_us: None,
            until_us: None,
        });
    }

    /// The healing of all that is broken begins.
    pub(super) fn heals(&self, now_us: u64) {
        for fault in self.lock().open() {
            fault.healing_us.get_or_insert(now_us);
        }
    }

    /// All that is being healed is whole.
    pub(super) fn healed(&self, now_us: u64) {
        for fault in self.lock().open() {
            fault.healing_us.get_or_insert(now_us);
            fault.until_us = Some(now_us);
        }
    }

    /// Returns the place of the claim among all.
    pub(super) fn claims(&self, claim: Claim) -> usize {
        let claims = &mut self.lock().claims;
        claims.push(claim);
        claims.len() - 1
    }

    /// A claim is judged a second time: it has to hold both times.
    pub(super) fn judges(&self, at: usize, holds: bool, seen: impl fmt::Display) {
        let claim = &mut self.lock().claims[at];
        if claim.holds {
            (claim.holds, claim.seen) = (holds, seen.to_string());
        }
    }

    pub(super) fn bites(&self, bite: Bite) {
        self.lock().bites.push(bite);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn open(&mut self) -> impl Iterator<Item = &mut Fault> {
        let faults = self.faults.iter_mut();
        faults.filter(|fault| fault.until_us.is_none())
    }

    /// When the first fault began.
    pub(crate) fn broken_us(&self) -> Option<u64> {
        self.faults.iter().map(|fault| fault.from_us).min()
    }

    /// When the healing of the last fault was over.
    pub(crate) fn healed_us(&self) -> Option<u64> {
        self.faults.iter().filter_map(|fault| fault.until_us).max()
    }
}
