//! What arrives from the barista on `tickets.v1`.
//!
//! Decided by the snapshot's state, not by the event's case: an event that was
//! overtaken, or whose case this version does not know, then still says where the
//! ticket stands.

use crate::{
    change::{self, Change, Changed},
    order::{Event, OrderId},
};
use messaging::{
    inbox::{Absorbed, Handler, Message, Outcome},
    outbox::Waker,
};
use prost::Message as _;
use proto::barista::v1::{TicketEvent, TicketState, ticket_event::Event as Case};
use sqlx::PgConnection;

/// Applies the barista's events to orders.
pub struct Tickets {
    /// Wakes the relay: a changed order is announced.
    pub waker: Waker,
}

impl Handler for Tickets {
    async fn handle(
        &self,
        conn: &mut PgConnection,
        messages: &[Message],
    ) -> sqlx::Result<Vec<Outcome>> {
        let read: Vec<Result<Change, Outcome>> = messages.iter().map(read).collect();
        let changes: Vec<Change> = read.iter().flatten().cloned().collect();
        let mut changed = change::apply(conn, &changes).await?.into_iter();
        Ok(read
            .into_iter()
            .map(|read| match read {
                Ok(change) => outcome(&change, changed.next().unwrap_or(Changed::Unknown)),
                Err(outcome) => outcome,
            })
            .collect())
    }

    fn committed(&self) {
        self.waker.wake();
    }
}

/// What a message means for its order, or why it means nothing.
fn read(message: &Message) -> Result<Change, Outcome> {
    let ticket = TicketEvent::decode(message.payload.clone())
        .map_err(|error| Outcome::DeadLetter(format!("not a TicketEvent: {error}")))?;
    if ticket.order_id != message.order_id.to_string() {
        let reason = format!("ce_subject and order_id ({}) differ", ticket.order_id);
        return Err(Outcome::DeadLetter(reason));
    }
    let state = ticket.snapshot.unwrap_or_default().state();
    let case = ticket.event;
    let event = match state {
        TicketState::Queued => return Err(Outcome::Absorbed(Absorbed::NotOurs)),
        TicketState::Started => Event::Started,
        TicketState::Ready => Event::Made,
        TicketState::Failed => Event::CannotBeMade {
            reason: reason(case),
        },
        TicketState::Unspecified | TicketState::Cancelled => {
            let reason = format!("a ticket that is {} is not handled", state.as_str_name());
            return Err(Outcome::DeadLetter(reason));
        }
    };
    Ok(Change {
        order_id: OrderId(message.order_id),
        event,
        ticket_revision: Some(ticket.revision),
        trace: message.trace.clone(),
    })
}

/// Why a ticket failed. An event that was overtaken, or comes again with the ticket's
/// current snapshot, may not say.
fn reason(case: Option<Case>) -> String {
    match case {
        Some(Case::Failed(failed)) => failed.reason,
        _ => "the barista has given up on it".to_owned(),
    }
}

fn outcome(change: &Change, changed: Changed) -> Outcome {
    match changed {
        Changed::Applied(_) => Outcome::Done,
        Changed::Absorbed(_) => Outcome::Absorbed(Absorbed::Stale),
        Changed::Refused(illegal) => Outcome::DeadLetter(illegal.to_string()),
        Changed::Unknown => Outcome::DeadLetter(format!("there is no order {}", change.order_id)),
    }
}
