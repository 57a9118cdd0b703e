//! What reception says about an order on `orders.v1`.

use crate::order::{Cancel, Event, Order, State};
use messaging::event::Event as Announcement;
use proto::reception::v1::{self as wire, order_event::Event as Case};
use telemetry::propagation::TraceContext;

/// The order was stored.
pub fn placed(order: &Order, trace: TraceContext) -> Announcement {
    let case = Case::Placed(wire::OrderPlaced {});
    announcement("coffeeshop.reception.v1.OrderPlaced", order, case, trace)
}

/// An event was applied to the order, which was in the state `before`.
pub fn changed(before: State, order: &Order, event: &Event, trace: TraceContext) -> Announcement {
    let (event_type, case) = if before == order.state {
        unmoved(event)
    } else {
        moved(order.state, event)
    };
    announcement(event_type, order, case, trace)
}

/// The order came into this state.
fn moved(state: State, event: &Event) -> (&'static str, Case) {
    match state {
        // Where every order begins: none comes into it.
        State::AwaitingPayment => (
            "coffeeshop.reception.v1.OrderPlaced",
            Case::Placed(wire::OrderPlaced {}),
        ),
        State::Paid => (
            "coffeeshop.reception.v1.OrderPaid",
            Case::Paid(wire::OrderPaid {}),
        ),
        State::Declined => (
            "coffeeshop.reception.v1.OrderDeclined",
            Case::Declined(wire::OrderDeclined {
                reason: reason(event),
            }),
        ),
        State::Preparing => (
            "coffeeshop.reception.v1.OrderPreparing",
            Case::Preparing(wire::OrderPreparing {}),
        ),
        State::Ready => (
            "coffeeshop.reception.v1.OrderReady",
            Case::Ready(wire::OrderReady {}),
        ),
        State::Collected => (
            "coffeeshop.reception.v1.OrderCollected",
            Case::Collected(wire::OrderCollected {}),
        ),
        State::Cancelled => (
            "coffeeshop.reception.v1.OrderCancelled",
            Case::Cancelled(wire::OrderCancelled {
                reason: reason(event),
            }),
        ),
        State::Failed => (
            "coffeeshop.reception.v1.OrderFailed",
            Case::Failed(wire::OrderFailed {
                reason: reason(event),
            }),
        ),
    }
}

/// Something else about the order is new: its cancellation or its money.
fn unmoved(event: &Event) -> (&'static str, Case) {
    match event {
        Event::CancelRequested { .. } => (
            "coffeeshop.reception.v1.OrderCancelRequested",
            Case::CancelRequested(wire::OrderCancelRequested {}),
        ),
        Event::Refunded { .. } => (
            "coffeeshop.reception.v1.OrderRefunded",
            Case::Refunded(wire::OrderRefunded {}),
        ),
        Event::PaymentCancelled | Event::Declined { .. } => (
            "coffeeshop.reception.v1.OrderPaymentCancelled",
            Case::PaymentCancelled(wire::OrderPaymentCancelled {}),
        ),
        // All that a ticket can add to an order without moving it.
        _ => (
            "coffeeshop.reception.v1.OrderCancelRefused",
            Case::CancelRefused(wire::OrderCancelRefused {}),
        ),
    }
}

/// Why an order ended, for people. What a customer says of it may be about a person, and
/// nothing that is published can be erased: it stays in the order's history.
fn reason(event: &Event) -> String {
    match event {
        Event::Declined { reason } | Event::CannotBeMade { reason } => reason.clone(),
        Event::CancelRequested { .. } => "the customer asked".to_owned(),
        Event::WindowOver => "the time to pay is over".to_owned(),
        _ => String::new(),
    }
}

/// Nothing was heard of the order for a while.
pub fn overdue(order: &Order, trace: TraceContext) -> Announcement {
    let case = Case::Overdue(wire::OrderOverdue {});
    announcement("coffeeshop.reception.v1.OrderOverdue", order, case, trace)
}

/// Whether the barista acts on events of this type: they drive the next step of an order.
pub fn is_step(event_type: &str) -> bool {
    matches!(
        event_type,
        "coffeeshop.reception.v1.OrderPaid"
            | "coffeeshop.reception.v1.OrderCancelRequested"
            | "coffeeshop.reception.v1.OrderCancelled"
            | "coffeeshop.reception.v1.OrderFailed"
            | "coffeeshop.reception.v1.OrderOverdue"
    )
}

fn announcement(
    event_type: &'static str,
    order: &Order,
    case: Case,
    trace: TraceContext,
) -> Announcement {
    let message = wire::OrderEvent {
        order_id: order.order_id.to_string(),
        revision: order.revision,
        occur_time: Some(timestamp(order.update_time)),
        snapshot: Some(snapshot(order)),
        event: Some(case),
    };
    let (id, revision, time) = (order.order_id.0, order.revision, order.update_time);
    let said = Announcement::new(event_type, id, revision, time, &message, trace);
    match is_step(event_type) {
        true => said.as_step(proto::ORDERS_TOPIC),
        false => said,
    }
}

/// All that a consumer needs; never the customer's name or token.
fn snapshot(order: &Order) -> wire::OrderSnapshot {
    let items = order.items.iter().map(|item| wire::OrderedDrink {
        drink: item.drink.clone(),
        size: item.size.clone(),
        quantity: item.quantity,
    });
    wire::OrderSnapshot {
        state: state(order.state).into(),
        items: items.collect(),
        cancel_state: cancel_state(order.cancel).into(),
    }
}

/// The wire's name of a state.
pub fn state(state: State) -> wire::OrderState {
    match state {
        State::AwaitingPayment => wire::OrderState::AwaitingPayment,
        State::Paid => wire::OrderState::Paid,
        State::Preparing => wire::OrderState::Preparing,
        State::Ready => wire::OrderState::Ready,
        State::Collected => wire::OrderState::Collected,
        State::Declined => wire::OrderState::Declined,
        State::Cancelled => wire::OrderState::Cancelled,
        State::Failed => wire::OrderState::Failed,
    }
}

/// The wire's name of what became of a wish to cancel.
pub fn cancel_state(cancel: Cancel) -> wire::CancelState {
    match cancel {
        Cancel::NotRequested => wire::CancelState::NotRequested,
        Cancel::Requested => wire::CancelState::Requested,
        Cancel::Accepted => wire::CancelState::Accepted,
        Cancel::Refused => wire::CancelState::Refused,
    }
}

/// The wire's form of a time.
pub fn timestamp(time: chrono::DateTime<chrono::Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}
