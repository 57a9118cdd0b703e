//! What a message's content alone decides, before any transaction.
//!
//! Most of a topic concerns a consumer little: what it need not act on costs no row
//! and, if a whole batch is like that, no transaction. Only its offset is stored.
//! Such a message leaves no id behind, and needs none: delivered again, it is passed
//! by again.

use super::{Handler, Received, Skipped};
use uuid::Uuid;

/// A message as it came, and what is to be done with it.
pub(super) struct Delivery<E> {
    pub(super) received: Received,
    pub(super) content: Content<E>,
}

pub(super) enum Content<E> {
    /// To be handled, once.
    Event(E),
    /// To be passed by.
    NotOurs,
    /// To be parked, for this reason.
    Poison(String),
}

impl<E> Delivery<E> {
    /// Lets the handler read a message. Whoever tries a batch again does not read again.
    pub(super) fn read<H: Handler<Event = E>>(handler: &H, received: Received) -> Self {
        let content = match &received.message {
            Err(malformed) => Content::Poison(malformed.to_string()),
            Ok(message) => match handler.decode(message) {
                Ok(event) => Content::Event(event),
                Err(Skipped::NotOurs) => Content::NotOurs,
                Err(Skipped::DeadLetter(reason)) => Content::Poison(reason),
            },
        };
        Self { received, content }
    }

    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.content, Content::NotOurs)
    }

    /// The id to be recorded. What is not an event in our envelope has none.
    pub(super) fn event_id(&self) -> Option<Uuid> {
        let message = self.received.message.as_ref().ok()?;
        self.is_ours().then_some(message.event_id)
    }
}
