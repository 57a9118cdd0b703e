//! The order, and what may happen to it. Pure: no clock, no database, no wire.
//!
//! Everything that changes an order goes through `Order::apply` (in `transition`), one
//! `match` over state and event. Events arrive more than once, late, and from several sides (the
//! caller's own charge, the sweeper, the barista), so most of them must be
//! harmless: they are absorbed. What is refused contradicts what was decided, and is
//! somebody's bug.

/// What may happen to it.
mod transition;

pub use transition::{Event, IllegalTransition, Transition, Why};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Identifies an order, its events, its charge and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct OrderId(pub Uuid);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub order_id: OrderId,
    /// What to call out.
    pub customer_name: String,
    /// What is to be made, priced.
    pub items: Vec<Item>,
    /// ISO 4217.
    pub currency_code: String,
    /// In minor units.
    pub total_minor: i64,
    /// Where it stands.
    pub state: State,
    /// Raised by one with every change.
    pub revision: i64,
    /// What is known of its charge.
    pub payment: Payment,
    /// What became of the money, if it ended without coffee.
    pub refund: Refund,
    /// What became of a wish to cancel.
    pub cancel: Cancel,
    /// When it was placed.
    pub create_time: DateTime<Utc>,
    /// When it last changed.
    pub update_time: DateTime<Utc>,
    /// When it was learned that its last drink is booked.
    pub ready_time: Option<DateTime<Utc>>,
    /// The changes that are known here: all, the new ones, or none.
    pub history: Vec<HistoryEntry>,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Id of a drink on the menu.
    pub drink: String,
    /// Id of a size.
    pub size: String,
    /// Units.
    pub quantity: i32,
    /// The price of one unit when the order was placed.
    pub unit_price_minor: i64,
}

/// A change of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The state after it.
    pub state: State,
    /// When.
    pub time: DateTime<Utc>,
    /// The revision after it.
    pub revision: i64,
    /// For people.
    pub detail: String,
}

/// What is known of an order's one charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Nothing yet.
    Pending,
    /// Charged.
    Charged {
        /// The provider's id.
        payment_id: Uuid,
    },
    /// Declined.
    Declined {
        /// The provider's reason.
        reason: String,
    },
    /// Closed before anything was charged. Nothing ever will be.
    Cancelled,
}

/// Gives a set of names one text each, for the database and the wire.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is stored.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownName(text.to_owned())),
                }
            }
        }
    };
}

/// A stored name that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown name {0:?}")]
pub struct UnknownName(String);

named! {
    /// Where an order stands.
    State {
        /// Stored; the charge is undecided.
        AwaitingPayment = "AWAITING_PAYMENT",
        /// Charged.
        Paid = "PAID",
        /// The first drink is being made.
        Preparing = "PREPARING",
        /// All drinks are made.
        Ready = "READY",
        /// Handed over.
        Collected = "COLLECTED",
        /// Not charged.
        Declined = "DECLINED",
        /// Cancelled.
        Cancelled = "CANCELLED",
        /// Cannot be made.
        Failed = "FAILED",
    }
}

named! {
    /// What became of the money of an order that ended without coffee.
    Refund {
        /// Nothing to give back.
        NotNeeded = "NOT_NEEDED",
        /// Owed.
        Pending = "PENDING",
        /// Given back in full.
        Done = "DONE",
    }
}

named! {
    /// What became of a wish to cancel.
    Cancel {
        /// Nobody asked.
        NotRequested = "NOT_REQUESTED",
        /// Asked for; the barista decides.
        Requested = "REQUESTED",
        /// Nothing is made any more.
        Accepted = "ACCEPTED",
        /// Too late; the order goes on.
        Refused = "REFUSED",
    }
}

impl State {
    /// Whether nothing can change the order any more, refunds aside.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Collected | Self::Declined | Self::Cancelled | Self::Failed
        )
    }
}

impl Order {
    /// Whether nothing changes any more: it is over, and nobody is owed anything.
    pub fn is_settled(&self) -> bool {
        self.state.is_over() && self.refund != Refund::Pending
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
