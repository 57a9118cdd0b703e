//! What an operator should see of money that is not where it belongs yet.
//!
//! Instruments are made when first used, from the process's meter provider, and do nothing
//! if it has none. Settlements are counted by this process; the gauges are of the whole
//! database, which every instance measures: take the greatest, not the sum.

use crate::{order::Event, store::owed::Counts};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use std::sync::LazyLock;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(Instruments::new);

struct Instruments {
    awaiting_payment: Gauge<u64>,
    refunds_owed: Gauge<u64>,
    settlements: Counter<u64>,
    windows_over: Counter<u64>,
}

impl Instruments {
    fn new() -> Self {
        let meter = global::meter("coffeeshop.reception");
        let orders = |name: &'static str, description: &'static str| {
            let gauge = meter.u64_gauge(name).with_unit("{order}");
            gauge.with_description(description).build()
        };
        Self {
            awaiting_payment: orders(
                "coffeeshop.orders.awaiting_payment",
                "Orders whose charge is undecided, counted up to a limit",
            ),
            refunds_owed: orders(
                "coffeeshop.refunds.owed",
                "Orders that ended without coffee and whose money is not known to be back, \
                 counted up to a limit",
            ),
            settlements: meter
                .u64_counter("coffeeshop.settlements")
                .with_unit("{call}")
                .with_description("Calls that orders owed the provider, by what they came to")
                .build(),
            windows_over: meter
                .u64_counter("coffeeshop.payment_windows.over")
                .with_unit("{order}")
                .with_description("Orders that were cancelled because they were not paid in time")
                .build(),
        }
    }
}

/// What a call that was owed came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money was taken.
    Charged,
    /// The card was declined.
    Declined,
    /// The key is closed, and nothing was charged.
    Closed,
    /// The money is back.
    Refunded,
    /// A decision that was known already.
    Absorbed,
    /// No decision, or none that could be recorded.
    Undecided,
    /// No decision, and asking again will hardly bring one.
    Senseless,
}

impl Outcome {
    /// What a decision of the provider comes to.
    pub fn of(decision: &Event) -> Self {
        match decision {
            Event::Charged { .. } => Self::Charged,
            Event::Declined { .. } => Self::Declined,
            Event::PaymentCancelled => Self::Closed,
            Event::Refunded { .. } => Self::Refunded,
            // The provider decides nothing else.
            _ => Self::Senseless,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Closed => "closed",
            Self::Refunded => "refunded",
            Self::Absorbed => "absorbed",
            Self::Undecided => "undecided",
            Self::Senseless => "senseless",
        }
    }
}

/// A call that was owed was made.
pub(crate) fn settled(call: &'static str, outcome: Outcome) {
    let attributes = [
        KeyValue::new("coffeeshop.call", call),
        KeyValue::new("coffeeshop.outcome", outcome.as_str()),
    ];
    INSTRUMENTS.settlements.add(1, &attributes);
}

/// Orders were cancelled because they were not paid in time.
pub(crate) fn windows_over(orders: usize) {
    INSTRUMENTS.windows_over.add(orders as u64, &[]);
}

/// What is not settled.
pub(crate) fn unsettled(counts: Counts) {
    let count = |orders| u64::try_from(orders).unwrap_or_default();
    let awaiting_payment = count(counts.awaiting_payment);
    INSTRUMENTS.awaiting_payment.record(awaiting_payment, &[]);
    INSTRUMENTS
        .refunds_owed
        .record(count(counts.refunds_owed), &[]);
}
