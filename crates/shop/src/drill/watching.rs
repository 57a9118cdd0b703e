//! What an onlooker sees, four times a second: outboxes, the circuit, what is in flight.
//!
//! It has connections of its own, past all proxies. What does not answer in time is a gap.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::operations::v1::{
    CircuitState, ListCircuitsRequest, circuits_service_client::CircuitsServiceClient,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::{
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior, timeout},
};
use tonic::transport::Channel;

use crate::harness::Shop;

const EVERY: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_millis(200);

/// An outbox whose oldest event has waited longer shows that something is wrong.
pub(super) const STALE_SECONDS: f64 = 1.0;

/// What was seen at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Microseconds since the history began.
    pub(crate) at_us: u64,
    /// What waits in the outboxes of reception and barista.
    pub(crate) outbox: Option<Outbox>,
    /// The circuit before payments, as reception shows it.
    pub(crate) circuit: Option<Circuit>,
}

/// What waits in outboxes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, sqlx::FromRow)]
pub(crate) struct Outbox {
    /// Events.
    pub(crate) unsent: i64,
    /// How long the oldest has waited.
    pub(crate) age_seconds: f64,
}

/// A circuit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Circuit {
    /// `closed`, `open` or `half-open`.
    pub(crate) state: String,
    /// Calls that it let through and that failed, since reception started.
    pub(crate) failures: i64,
    /// Calls that it refused.
    pub(crate) rejected: i64,
}

/// Looks on until it is dropped.
pub(super) struct Watching {
    seen: Arc<Mutex<Vec<Sample>>>,
    _looking: JoinSet<()>,
}

struct Onlooker {
    began: Instant,
    outboxes: [PgPool; 2],
    circuits: CircuitsServiceClient<Channel>,
}

impl Watching {
    pub(super) fn start(shop: &Shop, began: Instant) -> Self {
        let onlooker = Onlooker {
            began,
            outboxes: [shop.reception_pool(), shop.barista_pool()],
            circuits: shop.circuits_client(),
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut looking = JoinSet::new();
        looking.spawn(onlooker.look(seen.clone()));
        Self {
            seen,
            _looking: looking,
        }
    }

    /// All so far.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Onlooker {
    async fn look(self, seen: Arc<Mutex<Vec<Sample>>>) {
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let [reception, barista] = &self.outboxes;
            let (circuit, reception, barista) = tokio::join!(
                in_time(circuit(self.circuits.clone())),
                in_time(outbox(reception)),
                in_time(outbox(barista)),
            );
            let outbox = reception.zip(barista).map(|(one, other)| one.and(other));
            let sample = Sample {
                at_us,
                outbox,
                circuit,
            };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(sample);
        }
    }
}

async fn in_time<T>(look: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(PATIENCE, look).await.ok().flatten()
}

impl Outbox {
    fn and(self, other: Self) -> Self {
        Self {
            unsent: self.unsent + other.unsent,
            age_seconds: self.age_seconds.max(other.age_seconds),
        }
    }
}

async fn outbox(pool: &PgPool) -> Option<Outbox> {
    let waiting = sqlx::query_as(
        "select count(*) as unsent, \
             coalesce(extract(epoch from clock_timestamp() - min(o.create_time)), 0)::float8 \
                 as age_seconds \
         from outbox o join outbox_parts p using (part) \
         where (o.xid, o.seq) > (p.cursor_xid, p.cursor_seq)",
    );
    waiting.fetch_one(pool).await.ok()
}

async fn circuit(mut circuits: CircuitsServiceClient<Channel>) -> Option<Circuit> {
    let listed = circuits.list_circuits(ListCircuitsRequest::default()).await;
    let circuit = listed.ok()?.into_inner().circuits.into_iter().next()?;
    let state = match circuit.state() {
        CircuitState::Closed => "closed",
        CircuitState::HalfOpen => "half-open",
        CircuitState::Open => "open",
        CircuitState::Unspecified => return None,
    };
    Some(Circuit {
        state: state.to_owned(),
        failures: circuit.failures,
        rejected: circuit.rejected,
    })
}
