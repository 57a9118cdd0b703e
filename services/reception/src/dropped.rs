//! What it means that an operator gives a message up.

use crate::{
    change::{self, Change, Changed},
    events::Tickets,
    order::{Event, OrderId, State},
    store,
};
use messaging::{
    dead_letters::{Consequence, GiveUp},
    inbox::Message,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// What the barista starts on.
const PAID: &str = "coffeeshop.reception.v1.OrderPaid";
/// What asks it again.
const OVERDUE: &str = "coffeeshop.reception.v1.OrderOverdue";
/// What asks it to cancel.
const CANCEL_REQUESTED: &str = "coffeeshop.reception.v1.OrderCancelRequested";
/// What makes it stop.
const FAILED: &str = "coffeeshop.reception.v1.OrderFailed";

impl GiveUp for Tickets {
    /// The barista decides a ticket, so nothing is decided here.
    async fn dropped(
        &self,
        _conn: &mut PgConnection,
        message: &Message,
        _reason: &str,
    ) -> sqlx::Result<Consequence> {
        let order_id = message.order_id;
        Ok(Consequence::MayWait(format!(
            "Order {order_id} stays as it is until reception hears of its ticket again."
        )))
    }

    /// Of an order that the barista never hears of nothing can be made: reception decides
    /// for it. One that is PREPARING it has heard of by another event. Not guaranteed: that
    /// an order which is still PAID was not heard of; what is made of it then is wasted.
    async fn unpublished(
        &self,
        conn: &mut PgConnection,
        event: &Message,
        reason: &str,
    ) -> sqlx::Result<Consequence> {
        let order_id = event.order_id;
        match event.event_type.as_str() {
            PAID if is_paid(conn, order_id).await? => cannot_be_made(conn, event, reason).await,
            // The next question says it, too.
            OVERDUE | CANCEL_REQUESTED => Ok(Consequence::MayWait(format!(
                "Order {order_id} is asked after again."
            ))),
            FAILED => Ok(Consequence::MayWait(format!(
                "The barista is not told that order {order_id} has FAILED. If it has a ticket, \
                 it is still made."
            ))),
            _ => Ok(Consequence::Unaffected(format!(
                "Nobody waits for it: order {order_id} goes on."
            ))),
        }
    }
}

/// Locks the order, so that it stays as it is found.
async fn is_paid(conn: &mut PgConnection, order_id: Uuid) -> sqlx::Result<bool> {
    let locked = store::lock(conn, &[OrderId(order_id)]).await?;
    Ok(locked
        .iter()
        .any(|locked| locked.order.state == State::Paid))
}

async fn cannot_be_made(
    conn: &mut PgConnection,
    event: &Message,
    reason: &str,
) -> sqlx::Result<Consequence> {
    let change = Change {
        order_id: OrderId(event.order_id),
        event: Event::CannotBeMade {
            reason: reason.to_owned(),
        },
        ticket_revision: None,
        trace: event.trace.clone(),
    };
    let order_id = change.order_id;
    let unaffected = |why: String| Ok(Consequence::Unaffected(why));
    match change::apply(conn, &[change]).await?.pop() {
        Some(Changed::Applied(_)) => Ok(Consequence::OrderFails(format!(
            "The barista never hears of order {order_id}. It ends FAILED, and what was charged \
             for it is owed."
        ))),
        Some(Changed::Absorbed(order)) => {
            let state = order.state.as_str();
            unaffected(format!("Order {order_id} is {state} already."))
        }
        // The barista has heard of it after all, or by another event.
        Some(Changed::Refused(illegal)) => {
            let state = illegal.state.as_str();
            unaffected(format!("Order {order_id} is {state}, and stays so."))
        }
        Some(Changed::Unknown) | None => unaffected(format!("There is no order {order_id}.")),
    }
}
