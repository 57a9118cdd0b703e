//! What placing an order takes, and the committers behind it.

use crate::{
    change::Recording, menu::Pricing, payment::Payments, payment_window::PaymentWindow,
    place_order::Storing, settle,
};
use batching::{Batcher, Committer, Limits, batcher};
use lifecycle::{Stop, Tasks, holding};
use messaging::outbox::Waker;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};

/// A caller whose order cannot be stored is told so within a second: half of it for its
/// turn to come, half for a connection.
const ANSWERED_SOON: Limits = Limits {
    wait: Duration::from_millis(400),
    patience: Duration::from_millis(600),
};
/// The money has moved: better late than by the sweeper.
const RECORDED: Limits = Limits {
    wait: Duration::from_secs(2),
    patience: Duration::from_secs(3),
};

/// What placing an order takes.
#[derive(Clone)]
pub struct Counter {
    /// For reading.
    pub pool: PgPool,
    /// What drinks cost.
    pub pricing: Batcher<Pricing>,
    /// Where orders are stored.
    pub storing: Batcher<Storing>,
    /// Who charges them.
    pub payments: Payments,
    /// Where it is recorded what became of them.
    pub recording: Batcher<Recording>,
}

/// The other side of a counter's batchers.
pub struct Committers {
    pricing: Committer<Pricing>,
    storing: Committer<Storing>,
    recording: Committer<Recording>,
}

impl Counter {
    /// A counter at which nothing is committed until [`Committers::spawn`].
    pub fn new(pool: PgPool, payments: Payments, waker: &Waker) -> (Self, Committers) {
        let (pricing, priced) = batcher(pool.clone(), Pricing, ANSWERED_SOON);
        let work = Storing {
            waker: waker.clone(),
        };
        let (storing, stored) = batcher(pool.clone(), work, ANSWERED_SOON);
        let work = Recording {
            waker: waker.clone(),
        };
        let (recording, recorded) = batcher(pool.clone(), work, RECORDED);
        let counter = Self {
            pool,
            pricing,
            storing,
            payments,
            recording,
        };
        let committers = Committers {
            pricing: priced,
            storing: stored,
            recording: recorded,
        };
        (counter, committers)
    }
}

impl Committers {
    /// Starts the committers, the sweeper that records through one of them, and what gives
    /// it work. Each stops after those who submit to it; `writer` is held until none writes
    /// any more.
    pub fn spawn<G>(
        self,
        counter: Counter,
        window: PaymentWindow,
        tasks: &mut Tasks,
        drained: &Stop,
        writer: &Arc<G>,
    ) where
        G: Send + Sync + 'static,
    {
        let unsettled = settle::watch(counter.pool.clone(), drained.clone());
        tasks.spawn("unsettled", unsettled);
        let window = window.run(drained.clone());
        tasks.spawn("payment window", holding(writer.clone(), window));
        let swept = Stop::new();
        let sweeping = holding(
            swept.clone().drop_guard(),
            settle::run(counter, drained.clone()),
        );
        tasks.spawn("sweeper", sweeping);
        tasks.spawn("pricing", self.pricing.run(drained.clone()));
        let storing = self.storing.run(drained.clone());
        tasks.spawn("storing", holding(writer.clone(), storing));
        let recording = self.recording.run(swept);
        tasks.spawn("recording", holding(writer.clone(), recording));
    }
}
