//! What customers asked and what they were told, as it happened.
//!
//! Problem: what a customer was told is the promise. If it is only in the memory of a process, then
//! whatever kills that process also takes away the evidence.
//! Guarantee: nothing is ever taken back. A history that is recorded writes a line before a call is
//! sent and another when it is answered, and each has reached the operating system before anybody
//! acts on it: `kill -9` of this process loses no answer that somebody went by.
//! Not guaranteed: anything after a power loss. Lines are not synced to the disk.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use proto::reception::v1::{Order, PlaceOrderRequest};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

/// One call and what became of it.
mod call;
/// The lines of the file.
mod file;

pub use call::{Answer, Call, Outcome};
pub use file::{Recorded, read};

/// What customers were told. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<Uuid>,
    errors: BTreeMap<&'static str, usize>,
    recording: Option<file::Recording>,
}

/// A call that is on its way.
#[derive(Debug)]
#[must_use = "its answer belongs into the history"]
pub(crate) struct Asked(Option<usize>);

impl History {
    /// One that is also written to a new file, call by call.
    pub fn recorded(path: &Path) -> Result<Self> {
        let recording = Some(file::Recording::create(path)?);
        let told = Told {
            recording,
            ..Told::default()
        };
        Ok(Self(Arc::new(Mutex::new(told))))
    }

    /// The ids of the orders that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Uuid> {
        self.told().acknowledged.clone()
    }

    /// How many calls were answered with an error, by its code.
    pub fn errors(&self) -> BTreeMap<&'static str, usize> {
        self.told().errors.clone()
    }

    /// Every call so far; none unless this history is recorded.
    pub fn calls(&self) -> Vec<Call> {
        let told = self.told();
        let recording = told.recording.as_ref();
        recording.map_or_else(Vec::new, |recording| recording.calls().to_vec())
    }

    /// How many calls were answered so far, and how many of them OK; none unless it is recorded.
    pub(crate) fn answered_so_far(&self) -> (usize, usize) {
        let told = self.told();
        let recording = told.recording.as_ref();
        recording.map_or((0, 0), file::Recording::answered_so_far)
    }

    /// When the recording began: the zero of the times of its calls.
    pub fn began(&self) -> Option<(Instant, DateTime<Utc>)> {
        self.told().recording.as_ref().map(file::Recording::began)
    }

    /// An error if a line could not be written: then an answer may be missing in the file.
    pub fn ensure_whole(&self) -> Result<()> {
        let told = self.told();
        let error = told.recording.as_ref().and_then(file::Recording::error);
        error.map_or(Ok(()), |error| {
            Err(anyhow!("the history is not whole: {error}"))
        })
    }

    /// To be said before a call is sent. `came` is when its customer was to come.
    pub(crate) fn asks(&self, order: &PlaceOrderRequest, came: Instant) -> Asked {
        let mut told = self.told();
        let recording = told.recording.as_mut();
        Asked(recording.map(|recording| recording.asked(&order.request_id, came)))
    }

    /// To be said of an answer, before anybody acts on it.
    pub(crate) fn answered(&self, asked: &Asked, answer: &Result<Order, Status>) {
        let mut told = self.told();
        if let (Some(recording), Asked(Some(call))) = (told.recording.as_mut(), asked) {
            recording.answered(*call, answer);
        }
        match answer.as_ref().map(|order| order.order_id.parse()) {
            Ok(Ok(order_id)) => told.acknowledged.push(order_id),
            Ok(Err(_)) => *told.errors.entry("order_id is no UUID").or_default() += 1,
            Err(status) => *told.errors.entry(status.code().description()).or_default() += 1,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
