//! How the provider misbehaves when it is told to.
//!
//! Rules are asked in order. One takes a call with the probability `share`, drawn anew
//! for each rule that the call comes to; a rule with `remaining` calls ends with the last
//! of them. The first rule that takes a call decides its [`Fate`], but for latencies:
//! those add up, and the call goes on to the next rule. Calls that are refused as invalid
//! come to no rule.
//!
//! Guaranteed: N remaining calls are N calls, however many arrive at once.
//!
//! `DECLINE` is the card's answer: it decides a key that is free and changes none that is
//! decided. `LATENCY`, `FAIL` and `LOSE_REPLY` are the wire's: they befall every call,
//! also one whose key was decided long ago, and decide nothing by themselves. Kept in
//! memory: a restart forgets the rules, never a payment.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tonic::Code;

/// What to do to some calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What to do to them.
    pub effect: Effect,
    /// The share of the calls that it takes of those that come to it, over 0 to 1.
    pub share: f64,
    /// How many calls it still takes; none: no end.
    pub remaining: Option<NonZeroU64>,
}

/// What a rule does to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It goes well, whatever the rules after this one say.
    Ok,
    /// The card is declined.
    Decline,
    /// It is answered with an error, and nothing is decided.
    Fail(Code),
    /// It waits first.
    Latency(Duration),
    /// It is decided, and the reply is lost.
    LoseReply,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How long it waits before anything else.
    pub latency: Duration,
    /// What happens then.
    pub outcome: Outcome,
}

/// What happens to a call after its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is handled well.
    Ok,
    /// It is declined if its key is still free.
    Decline,
    /// It is answered with this code before it is handled.
    Fail(Code),
    /// It is handled, and its reply is lost.
    LoseReply,
}

/// The rules of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Behavior(Arc<Mutex<Vec<Rule>>>);

impl Behavior {
    /// Replaces all rules.
    pub fn set(&self, rules: Vec<Rule>) {
        *self.lock() = rules;
    }

    /// The rules as they are now.
    pub fn rules(&self) -> Vec<Rule> {
        self.lock().clone()
    }

    /// Draws the fate of one call.
    pub fn draw(&self) -> Fate {
        // One lock around the asking and the counting: between the two, another call
        // could take the last one that is left.
        draw(&mut self.lock(), rand::random)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0
            .lock()
            .expect("nothing panics while it holds the rules")
    }
}

/// Random numbers are from 0 to less than 1.
fn draw(rules: &mut Vec<Rule>, mut random: impl FnMut() -> f64) -> Fate {
    let mut latency = Duration::ZERO;
    let mut outcome = None;
    rules.retain_mut(|rule| {
        if outcome.is_some() || random() >= rule.share {
            return true;
        }
        match rule.effect {
            Effect::Latency(wait) => latency += wait,
            Effect::Ok => outcome = Some(Outcome::Ok),
            Effect::Decline => outcome = Some(Outcome::Decline),
            Effect::Fail(code) => outcome = Some(Outcome::Fail(code)),
            Effect::LoseReply => outcome = Some(Outcome::LoseReply),
        }
        count_down(rule)
    });
    Fate {
        latency,
        outcome: outcome.unwrap_or(Outcome::Ok),
    }
}

/// Whether the rule goes on.
fn count_down(rule: &mut Rule) -> bool {
    let Some(remaining) = rule.remaining else {
        return true;
    };
    rule.remaining = NonZeroU64::new(remaining.get() - 1);
    rule.remaining.is_some()
}

#[cfg(test)]
mod tests;
