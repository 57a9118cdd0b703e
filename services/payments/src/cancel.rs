//! Closing a key for good: nothing is charged with it, or it is given back.
//!
//! The transaction inserts a tombstone, or finds and locks the row that is there. A charge
//! that runs at the same time meets it at the unique index: whoever inserts first decides,
//! and the other waits and sees it. So a key is charged and then refunded, or closed and
//! then refused; never charged and kept. Repeating it gives the same answer.
//!
//! A declined key stays declined: there is nothing to close, as nothing will be charged.

use crate::{
    behavior::{Fate, Fault},
    payment::{Charge, Decision, Payment, Refund},
    store,
};
use lifecycle::postgres::begin;
use sqlx::{PgConnection, PgPool};
use std::slice;

/// What the ledger says of a refund that nobody asked for by its own key.
const REASON: &str = "payment cancelled";

/// Why a key was not answered for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule made it go wrong.
    #[error(transparent)]
    Told(#[from] Fault),
    /// The ledger did not answer. Whether the key is closed may be unknown.
    #[error("the ledger is not available: {0}")]
    Ledger(#[from] sqlx::Error),
}

/// Closes a key, and answers with what became of it.
pub async fn cancel(pool: &PgPool, key: &str, fate: Fate) -> Result<Payment, Error> {
    fate.befall(async { Ok(store::bounded(closed(pool, key)).await?) })
        .await
}

async fn closed(pool: &PgPool, key: &str) -> sqlx::Result<Payment> {
    let mut tx = begin(pool).await?;
    let payment = close(&mut tx, key).await?;
    // Crash here: nothing has happened, and the caller asks again.
    tx.commit().await?;
    // Crash here: the key is closed; the caller asks again and learns what became of it.
    Ok(payment)
}

/// The same in the caller's transaction.
pub async fn close(conn: &mut PgConnection, key: &str) -> sqlx::Result<Payment> {
    let tombstone = Payment::tombstone(key);
    let inserted = store::insert(conn, slice::from_ref(&tombstone)).await?;
    if let Some(closed) = inserted.into_iter().next() {
        return Ok(closed);
    }
    // A statement of its own: it sees what was committed while the insert waited. Locked:
    // of two refunds, the second must see the first.
    let payment = store::lock_by_key(conn, key).await?;
    match &payment.decision {
        Decision::Charged(charge) => give_back(conn, &payment, charge).await,
        Decision::Declined { .. } | Decision::Refunded(_) | Decision::Cancelled => Ok(payment),
    }
}

async fn give_back(
    conn: &mut PgConnection,
    payment: &Payment,
    charge: &Charge,
) -> sqlx::Result<Payment> {
    let refund = Refund::propose(None, payment.payment_id, charge.amount.clone(), REASON);
    let given = store::give_back(conn, &refund).await?;
    // It has no key that another could have.
    given
        .map(|(_, payment)| payment)
        .ok_or(sqlx::Error::RowNotFound)
}
