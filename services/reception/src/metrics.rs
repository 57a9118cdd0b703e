//! What an operator should see of orders, and of money that is not where it belongs yet.
//!
//! Instruments are made when first used, from the process's meter provider, and do nothing
//! if it has none. Orders that move and settlements are counted by this process; the gauges are of
//! the whole database, which every instance measures: take the greatest, not the sum.

use crate::{
    order::{Event, Order, State},
    store::owed::Counts,
};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};
use std::sync::LazyLock;
use telemetry::semconv::metrics as names;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(Instruments::new);

struct Instruments {
    transitions: Counter<u64>,
    ready_duration: Histogram<f64>,
    unmade: Gauge<u64>,
    awaiting_payment: Gauge<u64>,
    refunds_owed: Gauge<u64>,
    refunds_owed_age: Gauge<f64>,
    settlements: Counter<u64>,
    windows_over: Counter<u64>,
}

impl Instruments {
    fn new() -> Self {
        let meter = global::meter("coffeeshop.reception");
        let transitions = names::ORDER_TRANSITIONS.counter(&meter);
        let windows_over = names::PAYMENT_WINDOWS_OVER.counter(&meter);
        // A rate needs a zero to rise from.
        for state in State::ALL {
            transitions.add(0, &[in_state(*state)]);
        }
        windows_over.add(0, &[]);
        Self {
            ready_duration: names::ORDER_READY_DURATION.histogram(&meter, names::ORDER_SECONDS),
            unmade: names::ORDERS_UNMADE.gauge(&meter),
            awaiting_payment: names::ORDERS_AWAITING_PAYMENT.gauge(&meter),
            refunds_owed: names::REFUNDS_OWED.gauge(&meter),
            refunds_owed_age: names::REFUNDS_OWED_AGE.seconds(&meter),
            settlements: names::SETTLEMENTS.counter(&meter),
            transitions,
            windows_over,
        }
    }
}

fn in_state(state: State) -> KeyValue {
    KeyValue::new("coffeeshop.order.state", state.as_str())
}

/// New orders were written.
pub(crate) fn placed(orders: usize) {
    let state = [in_state(State::AwaitingPayment)];
    INSTRUMENTS.transitions.add(orders as u64, &state);
}

/// An order came into the state it is in.
///
/// Told when it is written, before the COMMIT: one whose COMMIT fails is told again.
pub(crate) fn moved(order: &Order) {
    INSTRUMENTS.transitions.add(1, &[in_state(order.state)]);
    let ready = order.ready_time.filter(|_| order.state == State::Ready);
    if let Some(ready) = ready {
        // Clocks of two processes: never less than nothing.
        let took = (ready - order.create_time).to_std().unwrap_or_default();
        INSTRUMENTS.ready_duration.record(took.as_secs_f64(), &[]);
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
        KeyValue::new("coffeeshop.settle.call", call),
        KeyValue::new("coffeeshop.outcome", outcome.as_str()),
    ];
    INSTRUMENTS.settlements.add(1, &attributes);
}

/// Orders were cancelled because they were not paid in time.
pub(crate) fn windows_over(orders: usize) {
    INSTRUMENTS.windows_over.add(orders as u64, &[]);
}

/// What is not settled, and what is not made.
pub(crate) fn unsettled(counts: Counts) {
    let count = |orders| u64::try_from(orders).unwrap_or_default();
    let awaiting_payment = count(counts.awaiting_payment);
    INSTRUMENTS.awaiting_payment.record(awaiting_payment, &[]);
    INSTRUMENTS
        .refunds_owed
        .record(count(counts.refunds_owed), &[]);
    INSTRUMENTS
        .refunds_owed_age
        .record(counts.refunds_owed_age, &[]);
    let unmade = [
        (State::Paid, counts.paid),
        (State::Preparing, counts.preparing),
    ];
    for (state, orders) in unmade {
        INSTRUMENTS.unmade.record(count(orders), &[in_state(state)]);
    }
}
