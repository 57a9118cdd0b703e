//! Charging: one key, one decision.
//!
//! The transaction inserts the key's row with the decision in it, or finds the row that
//! is there. A twin that runs at the same time waits at the unique index until the first
//! has committed, and then finds its row; if the first rolled back, the twin decides.
//! So a call may be repeated as often as its caller likes.
//!
//! Not guaranteed: that the caller hears of the decision. That is what the key is for.

use crate::{
    behavior::{Fate, Fault, Outcome},
    payment::{Charge, Payment},
    store,
};
use batching::{Batcher, Work};
use sqlx::PgConnection;
use std::{collections::HashMap, time::Duration};

/// What the ledger gets to decide a key.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a charge was not answered with its decision.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was decided for another amount, token or order.
    #[error("the idempotency key belongs to another charge")]
    KeyReused,
    /// The key was closed before it was charged, and stays so.
    #[error("the payment with the idempotency key {0} was cancelled")]
    Cancelled(String),
    /// A rule made it go wrong.
    #[error(transparent)]
    Told(#[from] Fault),
    /// The ledger did not answer, or too much waits for it. Whether the key is decided
    /// may be unknown.
    #[error("the ledger is not available: {0}")]
    Ledger(#[from] batching::Error),
}

/// Charges, or answers for what the key was decided to be before.
pub async fn charge(
    ledger: &Batcher<Deciding>,
    key: String,
    charge: Charge,
    fate: Fate,
) -> Result<Payment, Error> {
    let decline = fate.outcome == Outcome::Decline;
    fate.befall(async {
        let proposal = Payment::propose(key, charge.clone(), decline);
        let payment = ledger.submit(proposal, PATIENCE).await?;
        match payment.decision.charge() {
            Some(decided) if *decided == charge => Ok(payment),
            Some(_) => Err(Error::KeyReused),
            // Whatever is asked for: a tombstone knows nothing that it could differ from.
            None => Err(Error::Cancelled(payment.idempotency_key)),
        }
    })
    .await
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
        .map(|payment| payment.idempotency_key.as_str())
}

fn by_key(payments: Vec<Payment>) -> HashMap<String, Payment> {
    payments
        .into_iter()
        .map(|payment| (payment.idempotency_key.clone(), payment))
        .collect()
}
