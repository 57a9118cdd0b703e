//! What customers want of an order that is placed: to cancel it, or to take it with them.
//!
//! Each is one change by the order's own rules, through the batches that record outcomes.
//! Nothing else is decided here: an order that is not known to be paid is CANCELLED at
//! once, a paid one is the barista's to cancel, and what is owed from then on is owed by
//! the transaction that ends the order.
//! Guarantee: to ask again changes nothing, also when nobody knows what became of the
//! first time.

use crate::{
    change::{Change, Changed},
    counter::Counter,
    order::{Event, IllegalTransition, Order, OrderId},
    place_order::whole,
    store::read,
};
use lifecycle::postgres::{acquire, bounded};
use std::time::Duration;
use tracing::Span;

/// Why a wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such order.
    #[error("there is no order {0}")]
    Unknown(OrderId),
    /// The order stands where it cannot be granted.
    #[error(transparent)]
    Refused(IllegalTransition),
    /// The order could not be looked up.
    #[error("the order could not be read")]
    NotRead(#[source] sqlx::Error),
    /// It was not recorded, or not surely: to ask again is safe.
    #[error(transparent)]
    NotRecorded(#[from] batching::Error),
}

/// Cancels an order, or asks the barista to. Returns the order as it is then.
///
/// # Errors
/// See [`Error`].
pub async fn cancel(
    counter: &Counter,
    order_id: OrderId,
    reason: String,
    patience: Duration,
) -> Result<Order, Error> {
    grant(
        counter,
        order_id,
        Event::CancelRequested { reason },
        patience,
    )
    .await
}

/// Hands an order over. Returns the order as it is then.
///
/// # Errors
/// See [`Error`].
pub async fn collect(
    counter: &Counter,
    order_id: OrderId,
    patience: Duration,
) -> Result<Order, Error> {
    grant(counter, order_id, Event::Collected, patience).await
}

async fn grant(
    counter: &Counter,
    order_id: OrderId,
    event: Event,
    patience: Duration,
) -> Result<Order, Error> {
    let looked_up = bounded(async {
        let mut conn = acquire(&counter.pool).await?;
        read::trace(&mut conn, order_id).await
    });
    let trace = looked_up.await.map_err(Error::NotRead)?;
    let trace = trace.ok_or(Error::Unknown(order_id))?;
    // The call is a trace of its own: the order's may be hours old. What comes of it goes on
    // in the order's.
    trace.link_from(&Span::current());
    let change = Change {
        order_id,
        event,
        ticket_revision: None,
        trace,
    };
    // Crash here, or at any time before the answer: the caller asks again, and that is
    // absorbed if this was recorded.
    match counter.recording.submit(change, patience).await? {
        Changed::Applied(order) | Changed::Absorbed(order) => Ok(whole(counter, order).await),
        Changed::Refused(illegal) => Err(Error::Refused(illegal)),
        Changed::Unknown => Err(Error::Unknown(order_id)),
    }
}
