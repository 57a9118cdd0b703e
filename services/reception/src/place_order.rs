//! Placing an order: store, charge, record.
//!
//! The order is durable before any money moves, and no transaction is open while the
//! provider is asked. Whatever ends this in between (a crash, a caller that leaves,
//! a provider that is away), the order is stored and undecided, and the sweeper
//! settles it with the same key. The failure path is the ordinary path, late.

use crate::{
    announce,
    change::Changed,
    order::{Order, OrderId, Payment},
    payment::{Charge, Payments},
    settle,
    store::{self, NewOrder, read},
};
use messaging::outbox::{self, Waker};
use sqlx::{PgPool, Postgres, Transaction};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What the database gets to store an order, so that one that is away is told from
/// one that is slow, and the caller is answered within a second.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_millis(900);
/// Between two tries to learn the outcome of a COMMIT.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);
/// What is kept of the caller's time to record the charge and to answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(100);

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    NotStored(#[source] sqlx::Error),
    /// It is not known whether the order was stored.
    #[error("it is not known whether the order was stored")]
    OutcomeUnknown {
        /// The id it has if it was.
        order_id: OrderId,
    },
}

/// What placing an order takes.
#[derive(Clone)]
pub struct Counter {
    /// Where orders are stored.
    pub pool: PgPool,
    /// Who charges them.
    pub payments: Payments,
    /// Wakes the relay.
    pub waker: Waker,
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
        // Crash here, or at any time before the outcome is recorded: the order is stored
        // and undecided. The sweeper asks with the same key and learns what happened.
        Stored::New => charge(counter, new, deadline).await,
    }
}

/// Charges a stored order and records the outcome. What cannot be decided or recorded
/// now is the sweeper's: the caller is told the order as it is.
async fn charge(counter: &Counter, new: NewOrder, deadline: Instant) -> Result<Order, Error> {
    let order_id = new.order.order_id;
    let budget = left(deadline);
    let decision = match counter.payments.charge(Charge::of(&new), budget).await {
        Ok(decision) => decision,
        Err(status) => {
            let (code, error) = (status.code(), status.message());
            tracing::warn!(order.id = %order_id, ?code, error, "charge undecided; the sweeper settles it");
            return Ok(new.order);
        }
    };
    let recorded = settle::record(&counter.pool, order_id, decision, new.trace.clone());
    let recorded = within(left(deadline), recorded).await;
    counter.waker.wake();
    match recorded {
        Ok(Changed::Applied(order)) => answer(Order {
            history: [new.order.history, order.history].concat(),
            ..order
        }),
        // The sweeper was quicker.
        Ok(Changed::Absorbed(order)) => answer(whole(counter, order).await),
        Ok(Changed::Refused(illegal)) => {
            tracing::error!(order.id = %order_id, %illegal, "the provider contradicts itself");
            Ok(new.order)
        }
        Ok(Changed::Unknown) => Err(Error::OutcomeUnknown { order_id }),
        Err(error) => {
            tracing::warn!(order.id = %order_id, %error, "charge not recorded; the sweeper does it");
            Ok(new.order)
        }
    }
}

/// The order with its history, if the database still answers.
async fn whole(counter: &Counter, order: Order) -> Order {
    let read = async {
        let mut conn = counter.pool.acquire().await?;
        read::by_id(&mut conn, order.order_id).await
    };
    within(STORE_PATIENCE, read)
        .await
        .ok()
        .flatten()
        .unwrap_or(order)
}

/// A declined order is an error to whoever placed it, however often they ask.
///
/// # Errors
/// The payment was declined.
pub fn answer(order: Order) -> Result<Order, Error> {
    match order.payment {
        Payment::Declined { reason } => Err(Error::Declined {
            order_id: order.order_id,
            reason,
        }),
        Payment::Pending | Payment::Charged { .. } => Ok(order),
    }
}

enum Stored {
    /// By this call.
    New,
    /// By an earlier call with the same request id and body.
    Known(Order),
}

/// Stores the order, and finds out whether it did: when the outcome of a COMMIT is
/// unknown the same insert is tried again. If the first one went through, the second
/// meets its request id, waiting for it if it is still on its way.
async fn store_order(
    counter: &Counter,
    new: &NewOrder,
    deadline: Instant,
) -> Result<Stored, Error> {
    let mut unknown = false;
    loop {
        match try_to_store(&counter.pool, new, left(deadline).min(STORE_PATIENCE)).await {
            Ok(stored) => {
                counter.waker.wake();
                return Ok(stored);
            }
            Err(Failure::RequestIdReused) => return Err(Error::RequestIdReused),
            Err(Failure::BeforeCommit(error)) if !unknown => return Err(Error::NotStored(error)),
            Err(Failure::BeforeCommit(error) | Failure::AtCommit(error)) => {
                unknown = true;
                tracing::warn!(order.id = %new.order.order_id, %error, "unknown whether the order is stored");
            }
        }
        if left(deadline) <= RESOLVE_PAUSE {
            return Err(Error::OutcomeUnknown {
                order_id: new.order.order_id,
            });
        }
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

enum Failure {
    /// Nothing is stored.
    BeforeCommit(sqlx::Error),
    /// Perhaps it is.
    AtCommit(sqlx::Error),
    RequestIdReused,
}

/// Each of its steps gets `patience`.
async fn try_to_store(
    pool: &PgPool,
    new: &NewOrder,
    patience: Duration,
) -> Result<Stored, Failure> {
    let (mut tx, stored) = within(patience, insert(pool, new))
        .await
        .map_err(Failure::BeforeCommit)?;
    if stored {
        // Crash here: nothing is stored, and the caller has no answer.
        within(patience, tx.commit())
            .await
            .map_err(Failure::AtCommit)?;
        return Ok(Stored::New);
    }
    let known = within(patience, read::by_request_id(&mut tx, new.request_id));
    let (order, hash) = known
        .await
        .and_then(|known| known.ok_or(sqlx::Error::RowNotFound))
        .map_err(Failure::BeforeCommit)?;
    if order.order_id == new.order.order_id {
        Ok(Stored::New)
    } else if hash == new.request_hash {
        Ok(Stored::Known(order))
    } else {
        Err(Failure::RequestIdReused)
    }
}

/// Inserts the order, its history and its event. Returns the open transaction, and
/// whether the request id was free.
async fn insert(
    pool: &PgPool,
    new: &NewOrder,
) -> sqlx::Result<(Transaction<'static, Postgres>, bool)> {
    let mut tx = pool.begin().await?;
    let stored = !store::insert(&mut tx, std::slice::from_ref(new))
        .await?
        .is_empty();
    if stored {
        store::insert_history(&mut tx, &[&new.order]).await?;
        outbox::append(&mut tx, &[announce::placed(&new.order, new.trace.clone())]).await?;
    }
    Ok((tx, stored))
}

/// sqlx waits for ever on a connection whose other end has vanished.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(patience, work)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// What is left of the caller's time, less what the answer takes.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now() + ANSWER_MARGIN)
}
