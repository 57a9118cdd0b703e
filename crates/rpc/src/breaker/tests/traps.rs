//! What failsafe 1.3 does by itself, each beside what is made of it here. When a test about the bare
//! one fails, failsafe has changed, and something of ours may be superfluous.

use super::*;
use failsafe::{
    CircuitBreaker as _, Config, StateMachine, backoff,
    failure_policy::{ConsecutiveFailures, consecutive_failures},
};
use std::{iter::Repeat, panic::catch_unwind};

type Bare = StateMachine<ConsecutiveFailures<Repeat<Duration>>, ()>;

fn bare(pause: Duration) -> Bare {
    let policy = consecutive_failures(FAILURES, backoff::constant(pause));
    Config::new().failure_policy(policy).build()
}

fn open_bare(bare: &Bare) {
    for _ in 0..FAILURES {
        bare.on_error();
    }
}

/// A pause of nothing is over as soon as the clock has moved on.
fn half_open_bare() -> Bare {
    let bare = bare(Duration::ZERO);
    open_bare(&bare);
    while !bare.is_call_permitted() {}
    assert!(is(&bare, "half_open"));
    bare
}

/// There is no other way to see it.
fn is(bare: &Bare, state: &str) -> bool {
    format!("{bare:?}").contains(&format!("{state:?}"))
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_everybody_at_once() {
    let bare = half_open_bare();
    assert_eq!((0..1000).filter(|_| bare.is_call_permitted()).count(), 1000);

    let ours = breaker();
    let _first = until_half_open(&ours).await;
    let admitted: Vec<_> = (0..1000).filter_map(|_| ours.admit().ok()).collect();
    assert_eq!(admitted.len(), PROBES as usize - 1);
}

#[tokio::test(start_paused = true)]
async fn one_success_closes_it() {
    let bare = half_open_bare();
    bare.on_success();
    assert!(is(&bare, "closed"));

    let ours = breaker();
    until_half_open(&ours).await.report(Outcome::Success);
    assert_eq!(ours.circuit().state, State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_to_be_ignored_closes_it() {
    let bare = half_open_bare();
    let ignored = bare.call_with(|_: &()| false, || Err::<(), ()>(()));
    assert!(ignored.is_err());
    assert!(is(&bare, "closed"));

    let ours = breaker();
    until_half_open(&ours).await.report(Outcome::Neutral);
    for _ in 0..PROBES {
        admitted(&ours).report(Outcome::Neutral);
    }
    assert_eq!(ours.circuit().state, State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_result_from_before_it_opened_closes_it() {
    let bare = half_open_bare();
    // Of a call that was permitted while it was closed, and took its time.
    bare.on_success();
    assert!(is(&bare, "closed"));

    let ours = breaker();
    let late: Vec<_> = (0..10).map(|_| admitted(&ours)).collect();
    let _probe = until_half_open(&ours).await;
    late.into_iter()
        .for_each(|call| call.report(Outcome::Success));
    assert_eq!(ours.circuit().state, State::HalfOpen);
}

#[test]
fn jittered_pauses_are_zero() {
    let second = Duration::from_secs(1);
    let first = |_| backoff::equal_jittered(second, 8 * second).next();
    assert!((0..100).all(|n| first(n) == Some(Duration::ZERO)));

    let ours = |_| Backoff::new(second, 8 * second).next();
    assert!((0..100).all(|n| ours(n) >= Some(second / 2)));
}

#[test]
fn pauses_are_whole_seconds() {
    let (half, longest) = (Duration::from_millis(500), Duration::from_secs(8));
    let refused = catch_unwind(|| backoff::exponential(half, longest));
    assert!(refused.is_err(), "it panics");

    let ours = Backoff::new(half, longest).next();
    assert!(ours > Some(Duration::ZERO) && ours <= Some(half));
}

#[tokio::test(start_paused = true)]
async fn asking_is_all_that_can_be_done_and_changes_it() {
    let bare = bare(Duration::ZERO);
    open_bare(&bare);
    while !bare.is_call_permitted() {}
    assert!(!is(&bare, "open"), "it was only asked");

    let ours = breaker();
    open(&ours);
    advance(LONGEST).await;
    assert_eq!(
        (ours.circuit().state, ours.room()),
        (State::Open, PROBES as usize)
    );
    assert_eq!(
        (ours.circuit().state, ours.room()),
        (State::Open, PROBES as usize)
    );
}

#[tokio::test(start_paused = true)]
async fn its_clock_cannot_be_moved() {
    let bare = bare(Duration::from_secs(60));
    open_bare(&bare);
    advance(Duration::from_secs(61)).await;
    assert!(!bare.is_call_permitted());

    let ours = breaker();
    open(&ours);
    advance(LONGEST).await;
    assert!(ours.admit().is_ok());
}
