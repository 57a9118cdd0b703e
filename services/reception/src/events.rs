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
    inbox::{Absorbed, Handler, Message, Outcome, Skipped},
    outbox::Waker,
};
use prost::Message as _;
use proto::barista::v1::{TicketEvent, TicketState, ticket_event::Event as Case};
use sqlx::PgConnection;

/// Applies the barista's events to orders.
#[derive(Clone)]
pub struct Tickets {
    /// Wakes the relay: a changed order is announced.
    pub waker: Waker,
}

impl Handler for Tickets {
    type Event = Change;

    fn decode(&self, message: &Message) -> Result<Change, Skipped> {
        read(message)
    }

    /// That a ticket is QUEUED or STARTED moves its order and nobody else.
    fn is_step(&self, event_type: &str) -> bool {
        !matches!(
            event_type,
            "coffeeshop.barista.v1.TicketQueued" | "coffeeshop.barista.v1.TicketStarted"
        )
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        changes: &[&Change],
    ) -> sqlx::Result<Vec<Outcome>> {
        let changes: Vec<Change> = changes.iter().copied().cloned().collect();
        let changed = change::apply(conn, &changes).await?;
        Ok(changes
            .iter()
            .zip(changed)
            .map(|(change, changed)| outcome(change, changed))
            .collect())
    }

    fn committed(&self) {
        self.waker.wake();
    }
}

/// What a message means for its order, or why it means nothing.
fn read(message: &Message) -> Result<Change, Skipped> {
    let ticket = TicketEvent::decode(message.payload.clone())
        .map_err(|error| Skipped::DeadLetter(format!("not a TicketEvent: {error}")))?;
    if ticket.order_id != message.order_id.to_string() {
        let reason = format!("ce_subject and order_id ({:?}) differ", ticket.order_id);
        return Err(Skipped::DeadLetter(reason));
    }
    if ticket.revision < 1 {
        let reason = format!("revision {} is not one", ticket.revision);
        return Err(Skipped::DeadLetter(reason));
    }
    Ok(Change {
        order_id: OrderId(message.order_id),
        ticket_revision: Some(ticket.revision),
        event: event(ticket)?,
        trace: message.trace.clone(),
    })
}

/// What the ticket's state means for the order.
fn event(ticket: TicketEvent) -> Result<Event, Skipped> {
    let snapshot = ticket
        .snapshot
        .ok_or_else(|| Skipped::DeadLetter("the snapshot is missing".into()))?;
    let cancel_refused = snapshot.cancel_refused;
    match TicketState::try_from(snapshot.state) {
        Ok(TicketState::Queued) => Err(Skipped::NotOurs),
        Ok(TicketState::Started) => Ok(Event::Started { cancel_refused }),
        Ok(TicketState::Ready) => Ok(Event::Made { cancel_refused }),
        Ok(TicketState::Cancelled) => Ok(Event::CancelAccepted),
        Ok(TicketState::Failed) => Ok(Event::CannotBeMade {
            reason: reason(ticket.event),
        }),
        Ok(state @ TicketState::Unspecified) => {
            let reason = format!("a ticket that is {} is not handled", state.as_str_name());
            Err(Skipped::DeadLetter(reason))
        }
        Err(_) => {
            let reason = format!("unknown ticket state {}", snapshot.state);
            Err(Skipped::DeadLetter(reason))
        }
    }
}

/// Why a ticket failed. A case that this version does not know does not say.
fn reason(case: Option<Case>) -> String {
    match case {
        Some(Case::Failed(failed)) => failed.reason,
        _ => "the barista has given it up".to_owned(),
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

#[cfg(test)]
mod tests;
