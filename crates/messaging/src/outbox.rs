//! Writing events down in the transaction that causes them.
//!
//! If the transaction commits, its events will be published; if it does not, they
//! never were. `append` only inserts rows: it asks nobody, waits for nobody, and
//! works while Kafka is away. After the commit, `Waker::wake` spares the relay its
//! polling delay; a wake that is forgotten costs milliseconds, not events.
//!
//! There is no `NOTIFY`: it takes a lock that every committing transaction shares,
//! and cost 70 % of the throughput where we measured it.

/// An outbox from another cluster is refused.
mod restored;

pub use restored::{Foreign, refuse_foreign};

use crate::event::Event;
use sqlx::PgConnection;
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

/// Into how many parts the outbox is divided, each published by one relay at a time.
pub const PARTS: i16 = 8;

/// The part of an order's events. All of one order share it.
///
/// The low bits of a `UUIDv7` are random: they need no further hashing.
pub fn part(order_id: Uuid) -> i16 {
    i16::from(order_id.as_bytes()[15]) % PARTS
}

/// Writes events into the outbox, in the caller's transaction.
///
/// # Errors
/// What the database answers. The caller's transaction is then of no use any more.
pub async fn append(conn: &mut PgConnection, events: &[Event]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into outbox (part, event_id, event_type, order_id, revision, occur_time, \
                             payload, traceparent, tracestate) \
         select * from unnest($1::smallint[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], \
                              $6::timestamptz[], $7::bytea[], $8::text[], $9::text[])",
    )
    .bind(column(events, |e| part(e.order_id)))
    .bind(column(events, |e| e.event_id))
    .bind(column(events, |e| e.event_type))
    .bind(column(events, |e| e.order_id))
    .bind(column(events, |e| e.revision))
    .bind(column(events, |e| e.occur_time))
    .bind(column(events, |e| e.payload.clone()))
    .bind(column(events, |e| e.trace.traceparent.clone()))
    .bind(column(events, |e| e.trace.tracestate.clone()))
    .execute(conn)
    .await?;
    Ok(())
}

fn column<T>(events: &[Event], value: impl Fn(&Event) -> T) -> Vec<T> {
    events.iter().map(value).collect()
}

/// Wakes whoever reads the outbox in this process: its relay, and its [`tail`](crate::tail).
#[derive(Clone, Debug, Default)]
pub struct Waker {
    relay: Arc<Notify>,
    tail: Arc<Notify>,
}

impl Waker {
    /// A waker that nobody waits for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that events were committed. Never blocks; call it after the commit, for
    /// before it there is nothing to be read.
    pub fn wake(&self) {
        self.relay.notify_one();
        self.tail.notify_one();
    }

    pub(crate) async fn relay_woken(&self) {
        self.relay.notified().await;
    }

    pub(crate) async fn tail_woken(&self) {
        self.tail.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_evenly_used() {
        let mut counts = [0_u32; PARTS as usize];
        for _ in 0..8_000 {
            counts[usize::try_from(part(Uuid::now_v7())).expect("a part is not negative")] += 1;
        }
        assert!(
            counts.iter().all(|&n| (800..1_200).contains(&n)),
            "{counts:?}"
        );
    }
}
