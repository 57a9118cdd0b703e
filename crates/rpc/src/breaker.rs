//! A circuit breaker before a service that we call.
//!
//! closed = healthy, calls pass; open = refusing, calls fail at once; half-open = probing, a
//! few calls pass, and if all of them succeed it closes. So a service that is down costs a
//! caller no time, and one that comes back is not met by everybody at once.
//!
//! `failsafe` decides when it opens and for how long. The states around that are ours
//! (`machine`), because failsafe's admit every call when half-open, know no outcome but
//! success and failure, count the results of calls from before, cannot be read, wait whole
//! seconds, and follow a clock that no test can move. This one follows tokio's.
//!
//! Not guaranteed: that it probes by itself. It stays open until somebody calls again.
//!
//! None stands before Postgres and Kafka. A full pool refuses within its `acquire_timeout`,
//! and the outbox waits for Kafka anyway: a breaker would turn blips into outages there.

// How long it stays open.
mod backoff;
// The states, and what moves it between them.
mod machine;
// The instruments.
mod metrics;
// What an answer says about the service.
mod outcome;

pub(crate) use backoff::Backoff;
pub use machine::State;
pub(crate) use outcome::outcome;

use crate::status::{self, Reason};
use machine::Machine;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tonic::Status;
use tonic_types::StatusExt as _;

/// When circuits open, and how they close.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Calls of a service that must fail in a row before its circuit opens: then it is not asked for
    /// a while
    #[arg(long, env, default_value_t = 5, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub circuit_failures: u32,
    /// Calls that may probe the service after that. All of them must succeed before the circuit
    /// closes; one that fails opens it again
    #[arg(long, env, default_value_t = 2, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub circuit_probes: u32,
    /// How long a circuit stays open at first; each failed probe doubles it. Between half of that
    /// and all of it, at random, so that instances do not probe together
    #[arg(long, env, default_value = "500ms", value_parser = humantime::parse_duration)]
    pub circuit_pause: Duration,
    /// How long a circuit stays open at most
    #[arg(long, env, default_value = "10s", value_parser = humantime::parse_duration)]
    pub circuit_longest_pause: Duration,
}

/// What a call says about the health of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, if only with a refusal.
    Success,
    /// It did not, or could not do its work.
    Failure,
    /// Nothing is known: the call ended because of us or of our caller.
    Neutral,
}

/// A breaker, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// The service behind it.
    pub name: &'static str,
    /// What it does with calls.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
    /// Calls let through since the process started.
    pub calls: u64,
    /// Of these, the failed ones.
    pub failures: u64,
    /// Calls refused.
    pub rejected: u64,
    /// If it is open: when a call may pass again.
    pub next_probe: Option<SystemTime>,
}

/// The service is not asked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{name} has failed too often lately: it is not asked")]
pub struct Rejected {
    name: &'static str,
    retry_after: Duration,
}

/// Nothing was done, and later it may work: `UNAVAILABLE CIRCUIT_OPEN` with `RetryInfo`.
impl From<Rejected> for Status {
    fn from(rejected: Rejected) -> Self {
        status::unavailable(
            Reason::CircuitOpen,
            rejected.to_string(),
            rejected.retry_after,
        )
    }
}

/// Whether this is what a breaker answers in place of its service.
pub fn is_rejection(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.reason == status::word(Reason::CircuitOpen))
}

/// A breaker. Clones share it.
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    name: &'static str,
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

struct Inner {
    machine: Machine,
    since: SystemTime,
    next_probe: Option<SystemTime>,
    calls: u64,
    failures: u64,
    rejected: u64,
}

/// A call that was let through. What became of it is reported; dropped without that, as by a
/// caller that leaves, it counts as neutral and its place is free again.
#[must_use]
pub struct Permit {
    breaker: Breaker,
    generation: u64,
    outcome: Outcome,
}

impl Breaker {
    /// A closed one before the service of that name. A probe of which nothing is heard for
    /// `probe_timeout`, which is longer than a call can take, is given up.
    pub fn new(name: &'static str, options: &Options, probe_timeout: Duration) -> Self {
        metrics::begin(name);
        Self(Arc::new(Shared {
            name,
            inner: Mutex::new(Inner {
                machine: Machine::new(options, probe_timeout),
                since: SystemTime::now(),
                next_probe: None,
                calls: 0,
                failures: 0,
                rejected: 0,
            }),
            changes: watch::Sender::new(()),
        }))
    }

    /// Lets a call through, or not.
    ///
    /// # Errors
    /// It is open, or half-open with all its probes under way.
    pub fn admit(&self) -> Result<Permit, Rejected> {
        let mut inner = self.lock();
        let before = inner.machine.state();
        let admitted = inner.machine.admit(Instant::now());
        self.tell(&mut inner, before);
        let name = self.0.name;
        match admitted {
            Ok(generation) => {
                inner.calls += 1;
                Ok(Permit {
                    breaker: self.clone(),
                    generation,
                    outcome: Outcome::Neutral,
                })
            }
            Err(retry_after) => {
                inner.rejected += 1;
                metrics::rejected(name);
                Err(Rejected { name, retry_after })
            }
        }
    }

    /// As it is now. Looking changes nothing.
    pub fn circuit(&self) -> Circuit {
        let inner = self.lock();
        Circuit {
            name: self.0.name,
            state: inner.machine.state(),
            since: inner.since,
            calls: inner.calls,
            failures: inner.failures,
            rejected: inner.rejected,
            next_probe: inner.next_probe,
        }
    }

    /// Tells whenever the state has changed. A slow listener misses states, never the last one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// How many calls would pass now: work that can wait is not begun for more.
    pub fn room(&self) -> usize {
        self.lock().machine.room(Instant::now())
    }

    /// Waits while it is open, until the next probe may pass.
    pub async fn until_probe(&self) {
        loop {
            let Some(until) = self.lock().machine.open_until() else {
                return;
            };
            if until <= Instant::now() {
                return;
            }
            time::sleep_until(until).await;
        }
    }

    fn report(&self, generation: u64, outcome: Outcome) {
        metrics::call(self.0.name, outcome);
        let mut inner = self.lock();
        if outcome == Outcome::Failure {
            inner.failures += 1;
        }
        let before = inner.machine.state();
        inner.machine.report(generation, outcome, Instant::now());
        self.tell(&mut inner, before);
    }

    /// Tells of a transition, if there was one. Under the lock: outside of it, two threads could
    /// tell of two transitions in the wrong order, and what shows the last one be wrong for good.
    fn tell(&self, inner: &mut Inner, before: State) {
        let (circuit, state) = (self.0.name, inner.machine.state());
        if state == before {
            return;
        }
        inner.since = SystemTime::now();
        let until = inner.machine.open_until();
        let pause = until.map(|until| until.saturating_duration_since(Instant::now()));
        inner.next_probe = pause.map(|pause| inner.since + pause);
        metrics::transition(circuit, state);
        // The log's line, and in the current call's span an event.
        match pause {
            None if state == State::Closed => tracing::info!(circuit, "circuit closed"),
            None => tracing::warn!(circuit, "circuit half-open: probing"),
            Some(pause) => tracing::warn!(circuit, ?pause, "circuit open: calls are refused"),
        }
        self.0.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; what counts on it must not end with a panic elsewhere.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says what became of the call.
    pub fn report(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.report(self.generation, self.outcome);
    }
}

#[cfg(test)]
mod tests;
