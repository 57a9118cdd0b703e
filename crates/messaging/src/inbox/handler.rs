//! What a service does with the messages of a topic, and what it says of them.

use super::Message;
use sqlx::PgConnection;
use std::future::Future;

/// What a handler says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had its effect.
    Done,
    /// It needs none.
    Absorbed(Absorbed),
    /// Not now; try again later, and keep its place.
    Retry(String),
    /// Never, for this reason.
    DeadLetter(String),
}

/// Why a message needs no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// Its revision is not greater than the last one applied: superseded, or a repeat.
    Stale,
    /// It is about something that this consumer does not act on.
    NotOurs,
}

/// Why a message is not handled at all. Its content alone decides that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It is about something that this consumer does not act on: counted as absorbed,
    /// and not remembered.
    NotOurs,
    /// It can never be handled, for this reason.
    DeadLetter(String),
}

/// What a service does with the messages of a topic.
pub trait Handler: Send + Sync + 'static {
    /// What a message says, as far as this consumer acts on it.
    type Event: Send + Sync;

    /// Reads a message, once, before any transaction: what need not be handled is
    /// passed by without one. Knows nothing but the message; what depends on what is
    /// stored is for [`handle`](Self::handle).
    ///
    /// # Errors
    /// There is nothing to handle.
    fn decode(&self, message: &Message) -> Result<Self::Event, Skipped>;

    /// Whether events of this type drive the next step of their order at this consumer. Only
    /// those have spans; of the others nothing is recorded but metrics.
    fn is_step(&self, _event_type: &str) -> bool {
        true
    }

    /// Handles events inside the inbox's transaction: one outcome each, in the same
    /// sequence. A batch may hold several events of one order. To stay clear of
    /// deadlocks, lock all aggregates first, ordered by their id.
    ///
    /// # Errors
    /// What the database answers. If it blames the data, the message that did it
    /// becomes a dead letter; otherwise the batch is tried again.
    fn handle(
        &self,
        conn: &mut PgConnection,
        events: &[&Self::Event],
    ) -> impl Future<Output = sqlx::Result<Vec<Outcome>>> + Send;

    /// Called after the commit: the time to wake the relay.
    fn committed(&self);
}
