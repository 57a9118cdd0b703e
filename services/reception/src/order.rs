//! The order, and what may happen to it. Pure: no clock, no database, no wire.
//!
//! Everything that changes an order goes through `Order::apply`, one `match` over
//! state and event. Events arrive more than once, late, and from several sides (the
//! caller's own charge, the sweeper, the barista), so most of them must be
//! harmless: they are absorbed. What is refused contradicts what was decided, and is
//! somebody's bug.

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
}

/// Gives a set of names one text each, for the database and the wire.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            #[cfg(test)]
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

impl State {
    /// Whether nothing can change the order any more, refunds aside.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Collected | Self::Declined | Self::Cancelled | Self::Failed
        )
    }
}

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The provider has charged it.
    Charged {
        /// The provider's id.
        payment_id: Uuid,
    },
    /// The provider has declined it.
    Declined {
        /// The provider's reason.
        reason: String,
    },
    /// The barista has begun its first drink.
    Started,
    /// The barista has booked its last drink.
    Made,
    /// It will not be made.
    CannotBeMade {
        /// Why, for people.
        reason: String,
    },
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It changed the order.
    Applied(Order),
    /// It changed nothing, as it should.
    Absorbed(Order, Why),
    /// It contradicts what was decided.
    Refused(IllegalTransition),
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was reported before.
    Repeated,
    /// The order is past it.
    Late,
    /// The order is over.
    Over,
}

/// An event that contradicts what was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order {order_id} is {}: {event:?} contradicts that", state.as_str())]
pub struct IllegalTransition {
    /// The order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: State,
    /// What was reported.
    pub event: Event,
}

impl Order {
    /// Lets an event happen. Nothing moves an order backwards.
    pub fn apply(self, event: Event, now: DateTime<Utc>) -> Transition {
        use State::{
            AwaitingPayment, Cancelled, Collected, Declined, Failed, Paid, Preparing, Ready,
        };
        use Why::{Late, Over, Repeated};
        match (self.state, event) {
            (AwaitingPayment, Event::Charged { payment_id }) => {
                let payment = Payment::Charged { payment_id };
                Transition::Applied(Self {
                    payment,
                    ..self.moved(Paid, now, "charged")
                })
            }
            (AwaitingPayment, Event::Declined { reason }) => {
                let order = self.moved(Declined, now, &format!("declined: {reason}"));
                Transition::Applied(Self {
                    payment: Payment::Declined { reason },
                    ..order
                })
            }
            (Paid, Event::Started) => {
                Transition::Applied(self.moved(Preparing, now, "first drink started"))
            }
            // From PAID too: the event that reports the start may have been overtaken.
            (Paid | Preparing, Event::Made) => {
                let order = self.moved(Ready, now, "last drink booked");
                Transition::Applied(Self {
                    ready_time: Some(now),
                    ..order
                })
            }
            // The refund is owed from the same transaction on: whoever has paid and gets no
            // coffee is never forgotten.
            (Paid | Preparing, Event::CannotBeMade { reason }) => {
                let order = self.moved(Failed, now, &format!("cannot be made: {reason}"));
                let refund = Refund::Pending;
                Transition::Applied(Self { refund, ..order })
            }
            // PlaceOrder and the sweeper may both report the one charge.
            (Paid | Preparing | Ready | Collected, Event::Charged { .. })
            | (Preparing, Event::Started)
            | (Ready, Event::Made)
            | (Declined, Event::Declined { .. }) => Transition::Absorbed(self, Repeated),
            (Ready | Collected, Event::Started) | (Collected, Event::Made) => {
                Transition::Absorbed(self, Late)
            }
            (Cancelled | Failed, _) => Transition::Absorbed(self, Over),
            // The provider decides a key once, nothing is made or given up before it is
            // paid, and what is made cannot have been impossible to make.
            (AwaitingPayment | Declined, event @ (Event::Started | Event::Made))
            | (
                AwaitingPayment | Declined | Ready | Collected,
                event @ Event::CannotBeMade { .. },
            )
            | (Declined, event @ Event::Charged { .. })
            | (Paid | Preparing | Ready | Collected, event @ Event::Declined { .. }) => {
                let (order_id, state) = (self.order_id, self.state);
                Transition::Refused(IllegalTransition {
                    order_id,
                    state,
                    event,
                })
            }
        }
    }

    fn moved(mut self, state: State, now: DateTime<Utc>, detail: &str) -> Self {
        self.revision += 1;
        let (time, revision, detail) = (now, self.revision, detail.to_owned());
        self.history.push(HistoryEntry {
            state,
            time,
            revision,
            detail,
        });
        Self {
            state,
            update_time: now,
            ..self
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
