//! Placing an order: store, charge, record.
//!
//! The order is durable before any money moves, and no transaction is open while the
//! provider is asked. Whatever ends this in between (a crash, a caller that leaves,
//! a provider that is away), the order is stored and undecided, and the sweeper
//! settles it with the same key. The failure path is the ordinary path, late.

// Storing what waits to be stored.
mod storing;

pub use storing::{Stored, Storing};

use crate::{
    change::{Change, Changed},
    counter::Counter,
    order::{Event, Order, OrderId, Payment, State},
    payment::{self, Charge},
    store::{NewOrder, read},
};
use lifecycle::postgres::{acquire, bounded};
use std::{sync::Arc, time::Duration};
use telemetry::{propagation::TraceContext, spans::happened};
use tokio::time::Instant;
use tracing::Span;

/// Between two tries to learn the outcome of a COMMIT.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);
/// What is kept of the caller's time to record the charge and to answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(100);

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many orders wait to be stored already. Nothing was stored, nothing charged.
    #[error("too many orders are being placed")]
    Busy,
    /// The request id belongs to another request.
    #[error("request_id belongs to an order with another body")]
    RequestIdReused,
    /// The provider declined. The order is stored as DECLINED.
    #[error("the payment was declined: {reason}")]
    Declined {
        /// The order.
        order_id: OrderId,
        /// The provider's reason.
        reason: String,
    },
    /// Nothing was stored, nothing charged.
    #[error("the order could not be stored")]
    NotStored(#[source] Arc<sqlx::Error>),
    /// It is not known whether the order was stored.
    #[error("it is not known whether the order was stored")]
    OutcomeUnknown {
        /// The id it has if it was.
        order_id: OrderId,
    },
}

/// Places an order, or answers for the one that its request id has placed.
///
/// # Errors
/// See [`Error`].
pub async fn place_order(
    counter: &Counter,
    new: NewOrder,
    deadline: Instant,
) -> Result<Order, Error> {
    match store_order(counter, &new, deadline).await? {
        Stored::Known(order) => answer(order),
        Stored::Other => Err(Error::RequestIdReused),
        // Crash here, or at any time before the outcome is recorded: the order is stored
        // and undecided. The sweeper asks with the same key and learns what happened.
        Stored::New => {
            // Nobody acts on it yet: no span.
            happened(&Span::current(), "coffeeshop.reception.v1.OrderPlaced");
            charge(counter, new, deadline).await
        }
    }
}

/// Stores the order, and finds out whether it did: when the outcome of a COMMIT is
/// unknown the same insert is tried again. If the first one went through, the second
/// meets its request id, waiting for it if it is still on its way.
async fn store_order(
    counter: &Counter,
    new: &NewOrder,
    deadline: Instant,
) -> Result<Stored, Error> {
    let order_id = new.order.order_id;
    let mut unknown = false;
    loop {
        match counter.storing.submit(new.clone(), left(deadline)).await {
            Ok(stored) => return Ok(stored),
            Err(batching::Error::Busy) if !unknown => return Err(Error::Busy),
            Err(batching::Error::NotCommitted(error)) if !unknown => {
                return Err(Error::NotStored(error));
            }
            Err(error) => {
                unknown = true;
                tracing::warn!(coffeeshop.order.id = %order_id, %error, "unknown whether the order is stored");
            }
        }
        if left(deadline) <= RESOLVE_PAUSE {
            return Err(Error::OutcomeUnknown { order_id });
        }
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

/// Charges a stored order and records the outcome. What cannot be decided or recorded
/// now is the sweeper's: the caller is told the order as it is.
async fn charge(counter: &Counter, new: NewOrder, deadline: Instant) -> Result<Order, Error> {
    let order_id = new.order.order_id;
    let budget = left(deadline);
    let decision = match counter.payments.charge(Charge::of(&new), budget).await {
        Ok(decision) => decision,
        Err(error) => {
            payment::log(order_id, &error, "charge undecided; the sweeper settles it");
            return Ok(new.order);
        }
    };
    let recorded = record(counter, order_id, decision, new.trace, left(deadline));
    match recorded.await {
        Ok(Changed::Applied(order)) if order.revision == new.order.revision + 1 => answer(Order {
            history: [new.order.history, order.history].concat(),
            ..order
        }),
        // The sweeper was quicker; or the order was cancelled, or its time to pay is over.
        Ok(Changed::Applied(order) | Changed::Absorbed(order)) => {
            answer(whole(counter, order).await)
        }
        Ok(Changed::Refused(illegal)) => {
            tracing::error!(coffeeshop.order.id = %order_id, %illegal, "the provider contradicts itself");
            answer(whole(counter, new.order).await)
        }
        Ok(Changed::Unknown) => Err(Error::OutcomeUnknown { order_id }),
        Err(error) => {
            tracing::warn!(coffeeshop.order.id = %order_id, %error, "charge not recorded; the sweeper does it");
            Ok(new.order)
        }
    }
}

/// Records a decision of the provider.
///
/// # Errors
/// It was not recorded, or not surely. Recorded again, it is absorbed.
pub async fn record(
    counter: &Counter,
    order_id: OrderId,
    decision: Event,
    trace: TraceContext,
    patience: Duration,
) -> Result<Changed, batching::Error> {
    let change = Change {
        order_id,
        event: decision,
        ticket_revision: None,
        trace,
    };
    // Crash here: the provider has decided, we have not recorded it. The order is still
    // AWAITING_PAYMENT; the sweeper asks again and gets the same decision.
    counter.recording.submit(change, patience).await
}

/// The order with its history, if the database still answers.
pub(crate) async fn whole(counter: &Counter, order: Order) -> Order {
    let read = async {
        let mut conn = acquire(&counter.pool).await?;
        read::by_id(&mut conn, order.order_id).await
    };
    bounded(read).await.ok().flatten().unwrap_or(order)
}

/// A declined order is an error to whoever placed it, however often they ask.
///
/// # Errors
/// The payment was declined.
pub fn answer(order: Order) -> Result<Order, Error> {
    match order.payment {
        // One that was cancelled before the provider could say so is a cancelled order.
        Payment::Declined { reason } if order.state == State::Declined => Err(Error::Declined {
            order_id: order.order_id,
            reason,
        }),
        _ => Ok(order),
    }
}

/// What is left of the caller's time, less what the answer takes.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now() + ANSWER_MARGIN)
}
