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
use batching::{Batcher, Work};
use sqlx::PgConnection;
use std::{collections::HashMap, time::Duration};
use tokio::time;
use tonic::Code;

/// What the ledger gets to decide a key.
const PATIENCE: Duration = Duration::from_secs(3);

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
    /// The ledger did not answer, or too much waits for it. Whether the key is decided
    /// may be unknown.
    #[error("the ledger is not available: {0}")]
    Ledger(#[from] batching::Error),
}

/// Charges, or answers for what the key was decided to be before.
pub async fn charge(
    ledger: &Batcher<Deciding>,
    charge: Charge,
    fate: Fate,
) -> Result<Payment, Error> {
    if !fate.latency.is_zero() {
        time::sleep(fate.latency).await;
    }
    if let Outcome::Fail(code) = fate.outcome {
        return Err(Error::ToldToFail(code));
    }
    let proposal = Payment::propose(charge.clone(), fate.outcome == Outcome::Decline);
    let payment = ledger.submit(proposal, PATIENCE).await?;
    if fate.outcome == Outcome::LoseReply {
        // Whatever it would have said.
        return Err(Error::ToldToLoseReply);
    }
    if payment.charge != charge {
        return Err(Error::KeyReused);
    }
    Ok(payment)
}

/// Decides keys.
pub struct Deciding;

impl Work for Deciding {
    type Item = Payment;
    type Answer = Payment;

    async fn apply(
        &self,
        conn: &mut PgConnection,
        proposals: &[Payment],
    ) -> sqlx::Result<Vec<Payment>> {
        let mut decided = by_key(store::insert(conn, proposals).await?);
        let before: Vec<&str> = keys(proposals)
            .filter(|key| !decided.contains_key(*key))
            .collect();
        if !before.is_empty() {
            // A statement of its own: under READ COMMITTED it sees what a twin committed
            // while the insert waited for it.
            decided.extend(by_key(store::by_keys(conn, &before).await?));
        }
        // Crash after this, before the COMMIT: rolled back, and nothing is decided. After
        // the COMMIT: decided, and the caller asks again with its key and learns what.
        let decision = |key| decided.get(key).cloned().ok_or(sqlx::Error::RowNotFound);
        keys(proposals).map(decision).collect()
    }
}

fn keys(payments: &[Payment]) -> impl Iterator<Item = &str> {
    payments
        .iter()
        .map(|payment| payment.charge.idempotency_key.as_str())
}

fn by_key(payments: Vec<Payment>) -> HashMap<String, Payment> {
    payments
        .into_iter()
        .map(|payment| (payment.charge.idempotency_key.clone(), payment))
        .collect()
}
