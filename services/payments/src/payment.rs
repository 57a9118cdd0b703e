//! The payment: what was decided for a key. The refund: that money went back.

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
    Charged(Charge),
    /// It was not, and will not be with this key.
    Declined {
        /// What was asked for.
        charge: Charge,
        /// In words of the contract: `insufficient_funds`.
        reason: String,
    },
    /// The money was taken, and given back in full.
    Refunded(Charge),
    /// Closed before anybody charged: what it would have been for is not known.
    Cancelled,
}

impl Decision {
    /// The call that decided the key, unless it was closed.
    pub fn charge(&self) -> Option<&Charge> {
        match self {
            Self::Charged(charge) | Self::Declined { charge, .. } | Self::Refunded(charge) => {
                Some(charge)
            }
            Self::Cancelled => None,
        }
    }

    /// What was given back.
    pub fn refunded_minor(&self) -> i64 {
        match self {
            Self::Refunded(charge) => charge.amount.amount_minor,
            _ => 0,
        }
    }
}

/// A key with its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// The caller's name for this payment, however often it asks.
    pub idempotency_key: String,
    /// What was decided.
    pub decision: Decision,
    /// When it was decided.
    pub create_time: DateTime<Utc>,
}

impl Payment {
    /// What will be decided if the key is still free.
    pub fn propose(idempotency_key: impl Into<String>, charge: Charge, decline: bool) -> Self {
        let decline = decline || charge.token_hash == TokenHash::of(DECLINED_TOKEN);
        let decision = match decline {
            true => insufficient_funds(charge),
            false => Decision::Charged(charge),
        };
        Self::new(idempotency_key, decision)
    }

    /// The end of a key that is still free.
    pub fn tombstone(idempotency_key: impl Into<String>) -> Self {
        Self::new(idempotency_key, Decision::Cancelled)
    }

    fn new(idempotency_key: impl Into<String>, decision: Decision) -> Self {
        Self {
            payment_id: PaymentId(Uuid::now_v7()),
            idempotency_key: idempotency_key.into(),
            decision,
            create_time: Utc::now(),
        }
    }
}

fn insufficient_funds(charge: Charge) -> Decision {
    Decision::Declined {
        charge,
        reason: INSUFFICIENT_FUNDS.to_owned(),
    }
}

/// Money given back: all that a payment took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id. A version 7 UUID.
    pub refund_id: Uuid,
    /// The caller's name for it; none if closing the payment's key gave the money back.
    pub idempotency_key: Option<String>,
    /// Which payment's.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub create_time: DateTime<Utc>,
}

impl Refund {
    /// What will be given back if nothing was so far.
    pub fn propose(
        idempotency_key: Option<String>,
        payment_id: PaymentId,
        amount: Money,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            refund_id: Uuid::now_v7(),
            idempotency_key,
            payment_id,
            amount,
            reason: reason.into(),
            create_time: Utc::now(),
        }
    }
}
