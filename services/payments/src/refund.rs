//! Giving money back: once per key, once per payment, all of it.
//!
//! The transaction locks the payment first, so that of two refunds of one payment the second
//! sees the first; then it looks whether its key was used. Repeating a refund gives the same
//! answer. That the caller hears of it is not guaranteed: that is what the key is for.

use crate::{
    behavior::{Fate, Fault},
    payment::{Charge, Decision, Money, Payment, PaymentId, Refund},
    store,
};
use lifecycle::postgres::begin;
use planted::Bug;
use sqlx::{PgConnection, PgPool};
use tracing::{Span, field::display};

/// What a caller asks for. Two calls with one key are the same call iff payment and amount
/// are equal; the reason is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The caller's name for it, however often it asks.
    pub idempotency_key: String,
    /// Which payment's money.
    pub payment_id: PaymentId,
    /// How much: all of it.
    pub amount: Money,
    /// Why, for people.
    pub reason: String,
}

/// Why no money was given back, or not surely.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such payment.
    #[error("there is no payment {0}")]
    NotFound(PaymentId),
    /// The key belongs to another refund, or to a charge.
    #[error("the idempotency key belongs to another refund, or to a payment")]
    KeyReused,
    /// Nothing was taken that could be given back.
    #[error("payment {} took nothing", .0.payment_id)]
    NotCharged(Box<Payment>),
    /// The money is back already: by another refund, or because the key was closed.
    #[error("payment {} is refunded already", .0.payment_id)]
    AlreadyRefunded(Box<Payment>),
    /// Less or more than was taken.
    #[error("a refund gives back the whole amount, which is {}", .charge.amount.amount_minor)]
    AmountMismatch {
        /// The payment.
        payment_id: PaymentId,
        /// What it took.
        charge: Charge,
    },
    /// A rule made it go wrong.
    #[error(transparent)]
    Told(#[from] Fault),
    /// The ledger did not answer. Whether the money is back may be unknown.
    #[error("the ledger is not available: {0}")]
    Ledger(#[from] sqlx::Error),
}

/// Gives money back, or answers with the refund that the key stands for.
pub async fn refund(pool: &PgPool, wanted: &Wanted, fate: Fate) -> Result<Refund, Error> {
    fate.befall(async { store::bounded(async { Ok(refunded(pool, wanted).await) }).await? })
        .await
}

async fn refunded(pool: &PgPool, wanted: &Wanted) -> Result<Refund, Error> {
    let mut tx = begin(pool).await?;
    let refund = give_back(&mut tx, wanted).await?;
    // Crash here: nothing has happened, and the caller asks again.
    tx.commit().await?;
    // Crash here: the money is back; the caller asks again and learns it by its key.
    Ok(refund)
}

async fn give_back(conn: &mut PgConnection, wanted: &Wanted) -> Result<Refund, Error> {
    // First of all: a twin of this call waits here, and then finds its refund below.
    let payment = store::lock_by_id(conn, wanted.payment_id).await?;
    if let Some(known) = store::refund_by_key(conn, &wanted.idempotency_key).await? {
        return same(known, wanted);
    }
    let key = wanted.idempotency_key.as_str();
    if !store::by_keys(conn, &[key]).await?.is_empty() {
        return Err(Error::KeyReused);
    }
    let payment = payment.ok_or(Error::NotFound(wanted.payment_id))?;
    if !planted::bug(Bug::RefundTwice) {
        refundable(payment, &wanted.amount)?;
    }
    let refund = Refund::propose(
        Some(key.to_owned()),
        wanted.payment_id,
        wanted.amount.clone(),
        &wanted.reason,
    );
    // None: the key went to another payment's refund since it was looked up.
    let given = store::give_back(conn, &refund).await?;
    given.map(|(refund, _)| refund).ok_or(Error::KeyReused)
}

fn same(known: Refund, wanted: &Wanted) -> Result<Refund, Error> {
    if known.payment_id != wanted.payment_id || known.amount != wanted.amount {
        return Err(Error::KeyReused);
    }
    Ok(known)
}

fn refundable(payment: Payment, amount: &Money) -> Result<(), Error> {
    if let Some(charge) = payment.decision.charge() {
        Span::current().record("coffeeshop.order.id", display(charge.order_id));
    }
    match payment.decision {
        Decision::Charged(charge) if charge.amount == *amount => Ok(()),
        Decision::Charged(charge) => Err(Error::AmountMismatch {
            payment_id: payment.payment_id,
            charge,
        }),
        Decision::Refunded(_) => Err(Error::AlreadyRefunded(payment.into())),
        Decision::Declined { .. } | Decision::Cancelled => Err(Error::NotCharged(payment.into())),
    }
}
