//! A handler that only counts.

use std::sync::atomic::{AtomicU64, Ordering};

use messaging::inbox::{Handler, Message, Outcome, Skipped};
use prost::Message as _;
use proto::reception::v1::OrderEvent;
use sqlx::PgConnection;
use tokio::sync::watch;

/// Says how many messages it has handled for good.
pub(super) struct Counting {
    /// In the transaction that is open. One that rolls back is followed by another, and forgotten.
    in_hand: AtomicU64,
    handled: watch::Sender<u64>,
}

impl Counting {
    pub(super) fn new() -> (Self, watch::Receiver<u64>) {
        let (handled, count) = watch::channel(0);
        let in_hand = AtomicU64::new(0);
        (Self { in_hand, handled }, count)
    }
}

impl Handler for Counting {
    type Event = OrderEvent;

    /// As a service would: decoding is part of the cost.
    fn decode(&self, message: &Message) -> Result<OrderEvent, Skipped> {
        OrderEvent::decode(&message.payload[..])
            .map_err(|error| Skipped::DeadLetter(error.to_string()))
    }

    async fn handle(
        &self,
        _conn: &mut PgConnection,
        events: &[&OrderEvent],
    ) -> sqlx::Result<Vec<Outcome>> {
        let new = u64::try_from(events.len()).unwrap_or(u64::MAX);
        self.in_hand.store(new, Ordering::Relaxed);
        Ok(vec![Outcome::Done; events.len()])
    }

    fn committed(&self) {
        let new = self.in_hand.swap(0, Ordering::Relaxed);
        self.handled.send_modify(|handled| *handled += new);
    }
}
