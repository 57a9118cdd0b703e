//! The instruments of breakers. Made when first used, from the process's meter provider, they do
//! nothing if it has none. All are of this process: each instance has its own opinion of a service.

use super::{Outcome, State};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use std::sync::LazyLock;
use telemetry::semconv::metrics::{
    CIRCUIT_CALLS, CIRCUIT_REJECTED, CIRCUIT_STATE, CIRCUIT_TRANSITIONS,
};

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
        Self {
            // The greatest of several instances is the worst.
            state: CIRCUIT_STATE.gauge(&meter),
            transitions: CIRCUIT_TRANSITIONS.counter(&meter),
            calls: CIRCUIT_CALLS.counter(&meter),
            rejected: CIRCUIT_REJECTED.counter(&meter),
        }
    }
}

/// It is there, and nothing has happened to it: a rate needs a zero to rise from.
pub(super) fn begin(circuit: &'static str) {
    state(circuit, State::Closed);
    for state in [State::Closed, State::HalfOpen, State::Open] {
        CIRCUITS
            .transitions
            .add(0, &[name(circuit), came_into(state)]);
    }
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Neutral] {
        CIRCUITS.calls.add(0, &[name(circuit), ended(outcome)]);
    }
    CIRCUITS.rejected.add(0, &[name(circuit)]);
}

/// The state it is in.
fn state(circuit: &'static str, state: State) {
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
    CIRCUITS.transitions.add(1, &[name(circuit), came_into(to)]);
}

/// A call that was let through has ended.
pub(super) fn call(circuit: &'static str, outcome: Outcome) {
    CIRCUITS.calls.add(1, &[name(circuit), ended(outcome)]);
}

/// A call was refused.
pub(super) fn rejected(circuit: &'static str) {
    CIRCUITS.rejected.add(1, &[name(circuit)]);
}

fn name(circuit: &'static str) -> KeyValue {
    KeyValue::new("coffeeshop.circuit.name", circuit)
}

fn came_into(state: State) -> KeyValue {
    KeyValue::new("coffeeshop.circuit.state", state.as_str())
}

fn ended(outcome: Outcome) -> KeyValue {
    let outcome = match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Neutral => "neutral",
    };
    KeyValue::new("coffeeshop.circuit.outcome", outcome)
}
