//! The instruments of breakers. Made when first used, from the process's meter provider, they do
//! nothing if it has none. All are of this process: each instance has its own opinion of a service.

use super::{Outcome, State};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use std::sync::LazyLock;

static CIRCUITS: LazyLock<Circuits> = LazyLock::new(Circuits::new);

struct Circuits {
    state: Gauge<u64>,
    transitions: Counter<u64>,
    calls: Counter<u64>,
    rejected: Counter<u64>,
}

impl Circuits {
    fn new() -> Self {
        let meter = global::meter("coffeeshop.rpc");
        let counter = |name, unit, description| {
            let counter = meter.u64_counter(name);
            counter
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        Self {
            // The greatest of several instances is the worst.
            state: meter
                .u64_gauge("coffeeshop.circuit.state")
                .with_description("0: closed, 1: half-open, 2: open")
                .build(),
            transitions: counter(
                "coffeeshop.circuit.transitions",
                "{transition}",
                "Came into the state",
            ),
            calls: counter(
                "coffeeshop.circuit.calls",
                "{call}",
                "Were let through, and ended with the outcome",
            ),
            rejected: counter(
                "coffeeshop.circuit.rejected",
                "{call}",
                "Were refused without asking the service",
            ),
        }
    }
}

/// The state it is in.
pub(super) fn state(circuit: &'static str, state: State) {
    let number = match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open => 2,
    };
    CIRCUITS.state.record(number, &[name(circuit)]);
}

/// It came into a state.
pub(super) fn transition(circuit: &'static str, to: State) {
    state(circuit, to);
    let to = KeyValue::new("coffeeshop.circuit.state", to.as_str());
    CIRCUITS.transitions.add(1, &[name(circuit), to]);
}

/// A call that was let through has ended.
pub(super) fn call(circuit: &'static str, outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Neutral => "neutral",
    };
    let outcome = KeyValue::new("coffeeshop.circuit.outcome", outcome);
    CIRCUITS.calls.add(1, &[name(circuit), outcome]);
}

/// A call was refused.
pub(super) fn rejected(circuit: &'static str) {
    CIRCUITS.rejected.add(1, &[name(circuit)]);
}

fn name(circuit: &'static str) -> KeyValue {
    KeyValue::new("coffeeshop.circuit.name", circuit)
}
