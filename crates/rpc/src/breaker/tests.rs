//! A breaker as its users see it, on a clock that the tests move.

/// What bare failsafe does, beside what this breaker does.
mod traps;

use super::*;
use std::future::{Future, pending};
use tokio::time::{advance, timeout};
use tonic::Code;

const FAILURES: u32 = 5;
const PROBES: u32 = 2;
const LONGEST: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

fn breaker() -> Breaker {
    let options = Options {
        circuit_failures: FAILURES,
        circuit_probes: PROBES,
        circuit_pause: LONGEST,
        circuit_longest_pause: LONGEST,
    };
    Breaker::new("payments", &options, PROBE_TIMEOUT)
}

fn admitted(breaker: &Breaker) -> Permit {
    breaker.admit().unwrap_or_else(|error| panic!("{error}"))
}

/// Fails until it is open.
fn open(breaker: &Breaker) {
    for _ in 0..FAILURES {
        admitted(breaker).report(Outcome::Failure);
    }
    assert_eq!(breaker.circuit().state, State::Open);
}

async fn until_half_open(breaker: &Breaker) -> Permit {
    open(breaker);
    advance(LONGEST).await;
    let probe = admitted(breaker);
    assert_eq!(breaker.circuit().state, State::HalfOpen);
    probe
}

#[tokio::test(start_paused = true)]
async fn a_circuit_tells_its_state_its_counts_and_its_next_probe() {
    let breaker = breaker();
    admitted(&breaker).report(Outcome::Success);
    drop(admitted(&breaker));
    open(&breaker);
    assert!(breaker.admit().is_err());
    let circuit = breaker.circuit();
    let counts = (circuit.calls, circuit.failures, circuit.rejected);
    assert_eq!(counts, (7, 5, 1));
    let pause = circuit.next_probe.expect("it is open");
    let pause = pause.duration_since(circuit.since).expect("it is later");
    assert!(pause >= LONGEST / 2 && pause <= LONGEST, "{pause:?}");

    advance(LONGEST).await;
    admitted(&breaker).report(Outcome::Success);
    assert_eq!(breaker.circuit().next_probe, None);
    admitted(&breaker).report(Outcome::Success);
    assert_eq!(breaker.circuit().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_says_when_to_come_back() {
    let breaker = breaker();
    open(&breaker);
    let Err(rejected) = breaker.admit() else {
        panic!("it is open");
    };
    let status = Status::from(rejected);
    assert_eq!(status.code(), Code::Unavailable);
    let info = status.get_details_error_info().expect("it has ErrorInfo");
    assert_eq!(info.reason, "CIRCUIT_OPEN");
    assert!(is_rejection(&status));
    assert!(!is_rejection(&Status::unavailable("by the service itself")));
    let delay = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    advance(delay.expect("it has RetryInfo")).await;
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_leaves_gives_its_place_back() {
    let breaker = breaker();
    let first = until_half_open(&breaker).await;
    let probe = admitted(&breaker);
    let call = async move {
        pending::<()>().await;
        probe.report(Outcome::Success);
    };
    assert!(breaker.admit().is_err(), "both places are taken");
    timeout(Duration::from_millis(1), call)
        .await
        .expect_err("the caller leaves");
    admitted(&breaker).report(Outcome::Success);
    first.report(Outcome::Success);
    assert_eq!(breaker.circuit().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn work_that_can_wait_waits_while_it_is_open_and_comes_in_small_numbers_after_that() {
    let breaker = breaker();
    assert!(breaker.room() > 1_000);
    ready_now(breaker.until_probe()).await;
    open(&breaker);
    assert_eq!(breaker.room(), 0);
    let begun = Instant::now();
    breaker.until_probe().await;
    assert!(begun.elapsed() >= LONGEST / 2, "{:?}", begun.elapsed());
    assert_eq!(breaker.room(), PROBES as usize);
    let probe = admitted(&breaker);
    assert_eq!(breaker.room(), PROBES as usize - 1);
    ready_now(breaker.until_probe()).await;
    drop(probe);
}

async fn ready_now(future: impl Future<Output = ()>) {
    timeout(Duration::ZERO, future)
        .await
        .expect("nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn every_transition_is_told_once_and_looking_is_none() {
    let breaker = breaker();
    let mut changes = breaker.changes();
    open(&breaker);
    assert!(changes.has_changed().expect("it lives"));
    changes.mark_unchanged();
    advance(LONGEST).await;
    for _ in 0..3 {
        assert_eq!(breaker.circuit().state, State::Open, "nobody has called");
    }
    assert!(!changes.has_changed().expect("it lives"));
    drop(admitted(&breaker));
    assert!(changes.has_changed().expect("it lives"));
}
