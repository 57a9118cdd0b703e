use super::*;
use std::{collections::VecDeque, thread};

fn rule(effect: Effect) -> Rule {
    Rule {
        effect,
        share: 1.0,
        remaining: None,
    }
}

fn next(calls: u64, effect: Effect) -> Rule {
    Rule {
        remaining: NonZeroU64::new(calls),
        ..rule(effect)
    }
}

fn outcome(rules: &mut Vec<Rule>) -> Outcome {
    fate(rules, || 0.0).outcome
}

fn fate(rules: &mut Vec<Rule>, random: impl FnMut() -> f64) -> Fate {
    draw(rules, Call::Charge, Duration::ZERO, random)
}

const FAIL: Effect = Effect::Fail(Code::Internal);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_rules_every_call_goes_well() {
    let well = Fate {
        latency: Duration::ZERO,
        outcome: Outcome::Ok,
    };
    assert_eq!(fate(&mut Vec::new(), || 0.0), well);
}

#[test]
fn the_first_rule_that_takes_a_call_decides() {
    let mut rules = vec![next(1, Effect::Ok), rule(FAIL), rule(Effect::Decline)];
    assert_eq!(outcome(&mut rules), Outcome::Ok);
    assert_eq!(outcome(&mut rules), Outcome::Fail(Code::Internal));
}

#[test]
fn latencies_add_up_before_the_rule_that_decides() {
    let slow = rule(Effect::Latency(SECOND));
    let mut rules = vec![slow.clone(), slow.clone(), rule(Effect::LoseReply), slow];
    let fate = fate(&mut rules, || 0.0);
    assert_eq!(
        fate,
        Fate {
            latency: 2 * SECOND,
            outcome: Outcome::LoseReply
        }
    );
}

#[test]
fn a_rule_ends_with_its_last_call() {
    let mut rules = vec![next(2, FAIL), rule(Effect::Decline)];
    let outcomes: Vec<_> = (0..3).map(|_| outcome(&mut rules)).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Fail(Code::Internal),
            Outcome::Fail(Code::Internal),
            Outcome::Decline
        ]
    );
    assert_eq!(rules, [rule(Effect::Decline)]);
}

#[test]
fn a_call_that_a_rule_does_not_take_costs_it_nothing() {
    let shielded = next(1, FAIL);
    let missed = Rule {
        share: 0.5,
        ..next(1, FAIL)
    };
    let mut rules = vec![missed.clone(), rule(Effect::Ok), shielded.clone()];
    assert_eq!(fate(&mut rules, || 0.5).outcome, Outcome::Ok);
    assert_eq!(rules, [missed, rule(Effect::Ok), shielded]);
}

#[test]
fn a_share_is_drawn_for_each_rule_anew() {
    let half = |effect| Rule {
        share: 0.5,
        ..rule(effect)
    };
    let mut rules = vec![half(FAIL), half(Effect::Decline)];
    let mut numbers = VecDeque::from([0.49, 0.5, 0.49, 0.5, 0.99]);
    let mut random = || {
        numbers
            .pop_front()
            .expect("the test has a number for each draw")
    };
    assert_eq!(
        fate(&mut rules, &mut random).outcome,
        Outcome::Fail(Code::Internal)
    );
    assert_eq!(fate(&mut rules, &mut random).outcome, Outcome::Decline);
    assert_eq!(fate(&mut rules, &mut random).outcome, Outcome::Ok);
}

#[test]
fn a_decline_waits_for_a_charge() {
    let mut rules = vec![next(1, Effect::Decline), rule(FAIL)];
    let undo = draw(&mut rules, Call::Undo, Duration::ZERO, || 0.0);
    assert_eq!(undo.outcome, Outcome::Fail(Code::Internal));
    assert_eq!(outcome(&mut rules), Outcome::Decline);
}

#[test]
fn what_flaps_is_ill_for_the_first_half_of_each_period() {
    let flap = Effect::Flap {
        period: 2 * SECOND,
        code: Code::Internal,
    };
    let mut rules = vec![next(4, flap), rule(Effect::Decline)];
    let mut at = |millis| {
        let elapsed = Duration::from_millis(millis);
        draw(&mut rules, Call::Charge, elapsed, || 0.0).outcome
    };
    let ill = Outcome::Fail(Code::Internal);
    for millis in [1_000, 1_999, 3_000] {
        assert_eq!(at(millis), Outcome::Decline, "{millis} ms: goes on");
    }
    for millis in [0, 999, 2_000, 102_999] {
        assert_eq!(at(millis), ill, "{millis} ms");
    }
    assert_eq!(at(0), Outcome::Decline, "it has taken its four calls");
}

#[test]
fn remaining_calls_are_counted_under_concurrency() {
    let behavior = Behavior::default();
    behavior.set(vec![next(1_000, FAIL)]);
    let fail = || {
        (0..500)
            .filter(|_| behavior.draw(Call::Charge).outcome != Outcome::Ok)
            .count()
    };
    let failed: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fail)).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("drawing does not panic"))
            .sum()
    });
    assert_eq!(failed, 1_000);
    assert_eq!(behavior.rules(), []);
}
