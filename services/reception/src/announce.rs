//! What reception says about an order on `orders.v1`.

use crate::order::{Event, Order, State};
use messaging::event::Event as Announcement;
use proto::reception::v1::{self as wire, order_event::Event as Case};
use telemetry::propagation::TraceContext;

/// The order was stored.
pub fn placed(order: &Order, trace: TraceContext) -> Announcement {
    let case = Case::Placed(wire::OrderPlaced {});
    announcement("coffeeshop.reception.v1.OrderPlaced", order, case, trace)
}

/// An event was applied to the order.
pub fn changed(order: &Order, event: &Event, trace: TraceContext) -> Announcement {
    let (event_type, case) = match event {
        Event::Charged { .. } => (
            "coffeeshop.reception.v1.OrderPaid",
            Case::Paid(wire::OrderPaid {}),
        ),
        Event::Declined { reason } => (
            "coffeeshop.reception.v1.OrderDeclined",
            Case::Declined(wire::OrderDeclined {
                reason: reason.clone(),
            }),
        ),
        Event::Started => (
            "coffeeshop.reception.v1.OrderPreparing",
            Case::Preparing(wire::OrderPreparing {}),
        ),
        Event::Made => (
            "coffeeshop.reception.v1.OrderReady",
            Case::Ready(wire::OrderReady {}),
        ),
        Event::CannotBeMade { reason } => (
            "coffeeshop.reception.v1.OrderFailed",
            Case::Failed(wire::OrderFailed {
                reason: reason.clone(),
            }),
        ),
    };
    announcement(event_type, order, case, trace)
}

/// Nothing was heard of the order for a while.
pub fn overdue(order: &Order, trace: TraceContext) -> Announcement {
    let case = Case::Overdue(wire::OrderOverdue {});
    announcement("coffeeshop.reception.v1.OrderOverdue", order, case, trace)
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
    Announcement::new(event_type, id, revision, time, &message, trace)
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
        cancel_state: wire::CancelState::NotRequested.into(),
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

/// The wire's form of a time.
pub fn timestamp(time: chrono::DateTime<chrono::Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}
