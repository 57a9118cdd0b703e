//! What a message's content alone decides, before any transaction.
//!
//! Most of a topic concerns a consumer little: what it need not act on costs no row
//! and, if a whole batch is like that, no transaction. Only its offset is stored.
//! Such a message leaves no id behind, and needs none: delivered again, it is passed
//! by again.

use super::{Handler, Message, Received, Skipped};
use crate::spans::Processing;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// A message as it came, and what is to be done with it.
pub(super) struct Delivery<E> {
    pub(super) received: Received,
    pub(super) content: Content<E>,
    /// Lasts until the delivery is dropped, whatever tries that takes.
    processing: Option<Processing>,
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
    pub(super) fn read<H: Handler<Event = E>>(
        handler: &H,
        group: &str,
        mut received: Received,
    ) -> Self {
        let step = |message: &&mut Message| handler.is_step(&message.event_type);
        let message = received.message.as_mut().ok().filter(step);
        // Before the handler reads: what it remembers of the trace goes on from here.
        let processing = message.and_then(|message| Processing::begin(message, group));
        let content = match &received.message {
            Err(malformed) => Content::Poison(malformed.to_string()),
            Ok(message) => match handler.decode(message) {
                Ok(event) => Content::Event(event),
                Err(Skipped::NotOurs) => Content::NotOurs,
                Err(Skipped::DeadLetter(reason)) => Content::Poison(reason),
            },
        };
        Self {
            received,
            content,
            processing,
        }
    }

    /// Says what became of it, unless the transaction comes to nothing.
    pub(super) fn ends(&self, outcome: &'static str) {
        if let Some(processing) = &self.processing {
            processing.ends(outcome);
        }
    }

    /// Where its span is, if it has one.
    pub(super) fn span(&self) -> Option<&TraceContext> {
        let message = self.received.message.as_ref().ok()?;
        self.processing.as_ref().map(|_| &message.trace)
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
