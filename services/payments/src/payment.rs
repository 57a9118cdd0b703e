//! The payment: a charge that was asked for, and what was decided about it.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use std::fmt;
use uuid::Uuid;

/// The token of a card that is always declined.
const DECLINED_TOKEN: &str = "tok_declined";

/// The one reason that this provider knows.
const INSUFFICIENT_FUNDS: &str = "insufficient_funds";

/// Identifies a payment. A version 7 UUID: it rises with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct PaymentId(pub Uuid);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The order that the caller named. Means nothing to us but "the same one".
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct OrderId(pub Uuid);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217.
    pub currency_code: String,
    /// In the currency's minor unit.
    pub amount_minor: i64,
}

/// The SHA-256 of a payment token: all of the token that this service keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// What a caller asks for. Two calls with one key are the same call iff these are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The caller's name for this charge, however often it asks.
    pub idempotency_key: String,
    /// What it pays for.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// From whom.
    pub token_hash: TokenHash,
}

/// What a key was decided to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The money was taken.
    Charged,
    /// It was not, and will not be with this key.
    Declined {
        /// In words of the contract: `insufficient_funds`.
        reason: String,
    },
}

/// A charge with its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// The call that decided the key.
    pub charge: Charge,
    /// What it decided.
    pub decision: Decision,
    /// What was given back, in minor units of the charge's currency.
    pub refunded_minor: i64,
    /// When it was decided.
    pub create_time: DateTime<Utc>,
}

impl Payment {
    /// What will be decided if the key is still free.
    pub fn propose(charge: Charge, decline: bool) -> Self {
        let decline = decline || charge.token_hash == TokenHash::of(DECLINED_TOKEN);
        Self {
            payment_id: PaymentId(Uuid::now_v7()),
            charge,
            decision: if decline {
                insufficient_funds()
            } else {
                Decision::Charged
            },
            refunded_minor: 0,
            create_time: Utc::now(),
        }
    }
}

fn insufficient_funds() -> Decision {
    Decision::Declined {
        reason: INSUFFICIENT_FUNDS.to_owned(),
    }
}
