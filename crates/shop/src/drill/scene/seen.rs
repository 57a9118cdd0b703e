//! What an onlooker has seen of a shop while it was broken.

use std::fmt;

use super::Scene;
use crate::drill::watching::{Circuit, STALE_SECONDS, Sample};

impl Scene {
    /// What an onlooker has seen so far, four times a second.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.watching.samples()
    }

    /// The most events that were seen in outboxes since the last fault began while the oldest had
    /// waited for a second. In a healthy shop none does.
    pub(crate) fn most_stale(&self) -> u64 {
        let samples = self.samples_in((self.broken_us(), u64::MAX));
        let outboxes = samples.iter().filter_map(|sample| sample.outbox);
        let stale = outboxes.filter(|outbox| outbox.age_seconds > STALE_SECONDS);
        most(stale.map(|outbox| outbox.unsent))
    }

    /// The calls to payments that failed or were refused, as reception's circuit counts them.
    pub(crate) fn charges_failed(&self) -> u64 {
        let circuits = self.circuits(self.samples());
        most(circuits.map(|circuit| circuit.failures + circuit.rejected))
    }

    /// How many of them there were in that time.
    pub(super) fn charges_failed_in(&self, time: (u64, u64)) -> i64 {
        let circuits = self.circuits(self.samples_in(time));
        let failed: Vec<i64> = circuits.map(|c| c.failures + c.rejected).collect();
        // It counts from 0 again when reception does.
        let more = failed.windows(2).map(|pair| (pair[1] - pair[0]).max(0));
        more.sum()
    }

    /// The longest that an event was seen waiting in an outbox in that time, in seconds.
    pub(super) fn stalest(&self, time: (u64, u64)) -> f64 {
        let samples = self.samples_in(time);
        let outboxes = samples.iter().filter_map(|sample| sample.outbox);
        outboxes
            .map(|outbox| outbox.age_seconds)
            .fold(0.0, f64::max)
    }

    /// Whether the circuit was seen open since the last fault began.
    pub(crate) fn circuit_opened(&self) -> bool {
        let mut circuits = self.circuits(self.samples_in((self.broken_us(), u64::MAX)));
        circuits.any(|circuit| circuit.state != "closed")
    }

    /// What the circuit was seen doing last.
    pub(crate) fn circuit(&self) -> impl fmt::Display + use<> {
        let last = self.circuits(self.samples()).last();
        last.map_or_else(
            || "it was not seen".to_owned(),
            |c| format!("{}, {} failed, {} refused", c.state, c.failures, c.rejected),
        )
    }

    fn circuits(&self, samples: Vec<Sample>) -> impl Iterator<Item = Circuit> + use<> {
        samples.into_iter().filter_map(|sample| sample.circuit)
    }

    fn samples_in(&self, (from_us, until_us): (u64, u64)) -> Vec<Sample> {
        let mut samples = self.samples();
        samples.retain(|sample| (from_us..until_us).contains(&sample.at_us));
        samples
    }
}

fn most(counts: impl Iterator<Item = i64>) -> u64 {
    counts
        .max()
        .map_or(0, |most| u64::try_from(most).unwrap_or(0))
}
