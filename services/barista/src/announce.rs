//! What the barista says about a ticket on `tickets.v1`.

use crate::ticket::{State, Ticket};
use chrono::{DateTime, Utc};
use messaging::event::Event as Announcement;
use proto::barista::v1::{self as wire, ticket_event::Event as Case};
use std::time::SystemTime;

/// The ticket as it stands: new, or told again.
pub fn stands(ticket: &Ticket, occur_time: DateTime<Utc>) -> Announcement {
    announcement(case(ticket), ticket, occur_time)
}

/// The ticket, which was in the state `before`, has a new revision.
pub fn changed(before: State, ticket: &Ticket, occur_time: DateTime<Utc>) -> Announcement {
    if before != ticket.state {
        return stands(ticket, occur_time);
    }
    // All that can be new of a ticket that has not moved.
    let refused = (
        "coffeeshop.barista.v1.TicketCancelRefused",
        Case::CancelRefused(wire::TicketCancelRefused {}),
    );
    announcement(refused, ticket, occur_time)
}

/// Whether reception's next step depends on events of this type.
pub fn is_step(event_type: &str) -> bool {
    !matches!(
        event_type,
        "coffeeshop.barista.v1.TicketQueued" | "coffeeshop.barista.v1.TicketStarted"
    )
}

fn announcement(
    (event_type, case): (&'static str, Case),
    ticket: &Ticket,
    occur_time: DateTime<Utc>,
) -> Announcement {
    let message = wire::TicketEvent {
        order_id: ticket.order_id.to_string(),
        revision: ticket.revision,
        occur_time: Some(timestamp(occur_time)),
        snapshot: Some(snapshot(ticket)),
        event: Some(case),
    };
    let said = Announcement::new(
        event_type,
        ticket.order_id,
        ticket.revision,
        occur_time,
        &message,
        ticket.trace.clone(),
    );
    match is_step(event_type) {
        true => said.as_step(proto::TICKETS_TOPIC),
        false => said,
    }
}

/// How it came where it stands.
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
        State::Cancelled => (
            "coffeeshop.barista.v1.TicketCancelled",
            Case::Cancelled(wire::TicketCancelled {}),
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
        cancel_refused: ticket.cancel_refused,
    }
}

/// The wire's name of a state.
pub fn state(state: State) -> wire::TicketState {
    match state {
        State::Queued => wire::TicketState::Queued,
        State::Started => wire::TicketState::Started,
        State::Ready => wire::TicketState::Ready,
        State::Cancelled => wire::TicketState::Cancelled,
        State::Failed => wire::TicketState::Failed,
    }
}

/// The wire's form of a time.
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    SystemTime::from(time).into()
}
