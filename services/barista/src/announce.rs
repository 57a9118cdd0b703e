//! What the barista says about a ticket on `tickets.v1`.

use crate::ticket::{State, Ticket};
use chrono::{DateTime, Utc};
use messaging::event::Event as Announcement;
use proto::barista::v1::{self as wire, ticket_event::Event as Case};
use std::time::SystemTime;

/// The ticket has a new revision; its state says which event made it.
pub fn revised(ticket: &Ticket, occur_time: DateTime<Utc>) -> Announcement {
    let (event_type, case) = case(ticket);
    let message = wire::TicketEvent {
        order_id: ticket.order_id.to_string(),
        revision: ticket.revision,
        occur_time: Some(timestamp(occur_time)),
        snapshot: Some(snapshot(ticket)),
        event: Some(case),
    };
    Announcement::new(
        event_type,
        ticket.order_id,
        ticket.revision,
        occur_time,
        &message,
        ticket.trace.clone(),
    )
}

fn case(ticket: &Ticket) -> (&'static str, Case) {
    match ticket.state {
        State::Queued => (
            "coffeeshop.barista.v1.TicketQueued",
            Case::Queued(wire::TicketQueued {}),
        ),
        State::Started => (
            "coffeeshop.barista.v1.TicketStarted",
            Case::Started(wire::TicketStarted {}),
        ),
        State::Ready => (
            "coffeeshop.barista.v1.TicketReady",
            Case::Ready(wire::TicketReady {}),
        ),
        State::Failed => (
            "coffeeshop.barista.v1.TicketFailed",
            Case::Failed(wire::TicketFailed {
                reason: ticket.fail_reason.clone().unwrap_or_default(),
            }),
        ),
    }
}

fn snapshot(ticket: &Ticket) -> wire::TicketSnapshot {
    wire::TicketSnapshot {
        state: state(ticket.state).into(),
        drinks_total: ticket.drinks_total,
        drinks_made: ticket.drinks_made,
        cancel_refused: false,
    }
}

/// The wire's name of a state.
pub fn state(state: State) -> wire::TicketState {
    match state {
        State::Queued => wire::TicketState::Queued,
        State::Started => wire::TicketState::Started,
        State::Ready => wire::TicketState::Ready,
        State::Failed => wire::TicketState::Failed,
    }
}

/// The wire's form of a time.
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    SystemTime::from(time).into()
}
