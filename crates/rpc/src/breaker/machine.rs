//! The states of a breaker, and what moves it between them. No clock, no lock, no output: time is
//! handed in.
//!
//! Each state is a *generation*: what was admitted in another one says nothing about this one, so
//! its result is ignored. A success that took a minute does not prove that the service is back.

use super::{Backoff, Options, Outcome};
use failsafe::{FailurePolicy as _, failure_policy};
use std::time::Duration;
use tokio::time::Instant;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Healthy: they pass.
    Closed,
    /// Refusing: they fail at once.
    Open,
    /// Probing: a few pass.
    HalfOpen,
}

impl State {
    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

enum Phase {
    Closed,
    Open {
        until: Instant,
        pause: Duration,
    },
    HalfOpen {
        /// Probes admitted and not given back: under way, or successful.
        taken: u32,
        succeeded: u32,
        last_taken: Instant,
        /// How long it was open before.
        pause: Duration,
    },
}

/// A breaker's state.
pub(super) struct Machine {
    phase: Phase,
    generation: u64,
    policy: failure_policy::ConsecutiveFailures<Backoff>,
    probes: u32,
    probe_timeout: Duration,
}

impl Machine {
    pub(super) fn new(options: &Options, probe_timeout: Duration) -> Self {
        let backoff = Backoff::new(options.circuit_pause, options.circuit_longest_pause);
        Self {
            phase: Phase::Closed,
            generation: 0,
            policy: failure_policy::consecutive_failures(options.circuit_failures, backoff),
            probes: options.circuit_probes,
            probe_timeout,
        }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Until when it refuses, if it is open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until, .. } => Some(until),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        }
    }

    /// How many calls would be admitted now.
    pub(super) fn room(&self, now: Instant) -> usize {
        let probes = match self.phase {
            Phase::Closed => return usize::MAX,
            Phase::Open { until, .. } if now < until => 0,
            Phase::HalfOpen { taken, .. } if !self.is_stuck(now) => self.probes - taken,
            Phase::Open { .. } | Phase::HalfOpen { .. } => self.probes,
        };
        usize::try_from(probes).unwrap_or(usize::MAX)
    }

    /// Admits a call and returns the generation that it belongs to; or after which time to ask again.
    pub(super) fn admit(&mut self, now: Instant) -> Result<u64, Duration> {
        let stuck = self.is_stuck(now);
        match self.phase {
            Phase::Open { until, pause } if now >= until => self.half_open(now, pause),
            Phase::HalfOpen { pause, .. } if stuck => self.half_open(now, pause),
            _ => {}
        }
        match &mut self.phase {
            Phase::Closed => Ok(self.generation),
            Phase::Open { until, .. } => Err(*until - now),
            Phase::HalfOpen {
                taken, last_taken, ..
            } if *taken < self.probes => {
                *taken += 1;
                *last_taken = now;
                Ok(self.generation)
            }
            Phase::HalfOpen { pause, .. } => Err(*pause),
        }
    }

    /// What became of a call of that generation.
    pub(super) fn report(&mut self, generation: u64, outcome: Outcome, now: Instant) {
        if generation != self.generation {
            return;
        }
        match (&mut self.phase, outcome) {
            (Phase::Closed, Outcome::Success) => self.policy.record_success(),
            (Phase::Closed, Outcome::Failure) => {
                if let Some(pause) = self.policy.mark_dead_on_failure() {
                    self.open(now, pause);
                }
            }
            (Phase::HalfOpen { succeeded, .. }, Outcome::Success) => {
                *succeeded += 1;
                if *succeeded == self.probes {
                    self.close();
                }
            }
            (Phase::HalfOpen { pause, .. }, Outcome::Failure) => {
                // A success among the probes was not told to the policy: it would begin to count
                // failures anew, and this one would be the first.
                let longer = self.policy.mark_dead_on_failure();
                let pause = longer.unwrap_or(*pause);
                self.open(now, pause);
            }
            (Phase::HalfOpen { taken, .. }, Outcome::Neutral) => *taken -= 1,
            // Nothing is admitted in an open one, so that nothing of its generation is reported.
            (Phase::Closed, Outcome::Neutral) | (Phase::Open { .. }, _) => {}
        }
    }

    /// All probes are taken, and the last of them so long ago that nobody will report it: its future
    /// is kept and not polled. Without this, that would be the end of the service.
    fn is_stuck(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::HalfOpen { taken, last_taken, .. }
            if taken == self.probes && now >= last_taken + self.probe_timeout)
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        let until = now + pause;
        self.enter(Phase::Open { until, pause });
    }

    fn half_open(&mut self, now: Instant, pause: Duration) {
        self.enter(Phase::HalfOpen {
            taken: 0,
            succeeded: 0,
            last_taken: now,
            pause,
        });
    }

    fn close(&mut self) {
        self.policy.revived();
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.generation += 1;
        self.phase = phase;
    }
}

#[cfg(test)]
mod tests;
