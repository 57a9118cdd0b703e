//! Charging: one key, one decision.
//!
//! The transaction inserts the key's row with the decision in it, or finds the row that
//! is there. A twin that runs at the same time waits at the unique index until the first
//! has committed, and then finds its row; if the first rolled back, the twin decides.
//! So a call may be repeated as often as its caller likes.
//!
//! Not guaranteed: that the caller hears of the decision. That is what the key is for.

use crate::{
    behavior::{Fate, Outcome},
    payment::{Charge, Payment},
    store,
};
use sqlx::PgPool;
use std::slice;
use tokio::time;
use tonic::Code;

/// Why a charge was not answered with its decision.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was decided for another amount, token or order.
    #[error("the idempotency key belongs to another charge")]
    KeyReused,
    /// A rule made it fail; nothing was decided.
    #[error("told to fail with {0:?}")]
    ToldToFail(Code),
    /// A rule lost the reply; the key is decided.
    #[error("told to lose the reply")]
    ToldToLoseReply,
    /// The ledger did not answer. Whether the key is decided may be unknown.
    #[error("the ledger is not available")]
    Store(#[from] sqlx::Error),
}

/// Charges, or answers for what the key was decided to be before.
pub async fn charge(pool: &PgPool, charge: Charge, fate: Fate) -> Result<Payment, Error> {
    if !fate.latency.is_zero() {
        time::sleep(fate.latency).await;
    }
    if let Outcome::Fail(code) = fate.outcome {
        return Err(Error::ToldToFail(code));
    }
    let proposal = Payment::propose(charge.clone(), fate.outcome == Outcome::Decline);
    let payment = store::bounded(decide(pool, proposal)).await?;
    if fate.outcome == Outcome::LoseReply {
        // Whatever it would have said.
        return Err(Error::ToldToLoseReply);
    }
    if payment.charge != charge {
        return Err(Error::KeyReused);
    }
    Ok(payment)
}

async fn decide(pool: &PgPool, proposal: Payment) -> sqlx::Result<Payment> {
    let mut tx = pool.begin().await?;
    let mut decided = store::insert(&mut tx, slice::from_ref(&proposal)).await?;
    if decided.is_empty() {
        // A statement of its own: under READ COMMITTED it sees what the twin committed
        // while the insert waited for it.
        decided = store::by_keys(&mut tx, &[&proposal.charge.idempotency_key]).await?;
    }
    // Crash here, or a caller that leaves: rolled back, and nothing is decided.
    tx.commit().await?;
    // Crash here: decided. The caller asks again with its key and learns what.
    decided.pop().ok_or(sqlx::Error::RowNotFound)
}
