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
//! `DECLINE` is the card's answer: it concerns charges only, decides a key that is free and
//! changes none that is decided. The others are the wire's: they befall every call that
//! moves money, also one whose key was decided long ago, and decide nothing by themselves.
//! Kept in memory: a restart forgets the rules, never a payment.

// What becomes of one call.
mod fate;

pub use fate::{Fate, Fault, Outcome};

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tonic::Code;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A card is to be charged, and may be declined.
    Charge,
    /// A key is to be closed, or money given back.
    Undo,
}

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
    /// For the first half of each period it is answered with an error, as by `Fail`. In the
    /// second half the rule takes no call.
    Flap {
        /// Both halves, counted from when the rules were set.
        period: Duration,
        /// What the first half answers with.
        code: Code,
    },
}

impl Effect {
    /// Whether it would do anything to the call, so long after the rules were set.
    fn concerns(&self, call: Call, elapsed: Duration) -> bool {
        match self {
            Self::Decline => call == Call::Charge,
            Self::Flap { period, .. } => {
                elapsed.as_nanos() % period.as_nanos() < period.as_nanos() / 2
            }
            Self::Ok | Self::Fail(_) | Self::Latency(_) | Self::LoseReply => true,
        }
    }
}

/// The rules of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Behavior(Arc<Mutex<Rules>>);

#[derive(Debug)]
struct Rules {
    list: Vec<Rule>,
    /// When they were set.
    since: Instant,
}

impl Default for Rules {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let since = Instant::now();
        Self { list, since }
    }
}

impl Behavior {
    /// Replaces all rules.
    pub fn set(&self, rules: Vec<Rule>) {
        *self.lock() = rules.into();
    }

    /// The rules as they are now.
    pub fn rules(&self) -> Vec<Rule> {
        self.lock().list.clone()
    }

    /// Draws the fate of one call.
    pub fn draw(&self, call: Call) -> Fate {
        // One lock around the asking and the counting: between the two, another call
        // could take the last one that is left.
        let mut rules = self.lock();
        let elapsed = rules.since.elapsed();
        draw(&mut rules.list, call, elapsed, rand::random)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.0
            .lock()
            .expect("nothing panics while it holds the rules")
    }
}

/// Random numbers are from 0 to less than 1; the time is since the rules were set.
fn draw(
    rules: &mut Vec<Rule>,
    call: Call,
    elapsed: Duration,
    mut random: impl FnMut() -> f64,
) -> Fate {
    let mut latency = Duration::ZERO;
    let mut outcome = None;
    rules.retain_mut(|rule| {
        let passed_by = outcome.is_some() || !rule.effect.concerns(call, elapsed);
        if passed_by || random() >= rule.share {
            return true;
        }
        match rule.effect {
            Effect::Latency(wait) => latency += wait,
            Effect::Ok => outcome = Some(Outcome::Ok),
            Effect::Decline => outcome = Some(Outcome::Decline),
            Effect::Fail(code) | Effect::Flap { code, .. } => outcome = Some(Outcome::Fail(code)),
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
