//! Calls of `PaymentsAdminService`: rules, to and from the wire.

use crate::behavior::{Behavior, Effect, Rule};
use proto::payments::v1::{
    self as wire, BehaviorKind,
    payments_admin_service_server::{PaymentsAdminService, PaymentsAdminServiceServer},
};
use rpc::{server::MAX_REQUEST_BYTES, status::Violations};
use std::{num::NonZeroU64, ops::RangeInclusive, time::Duration};
use tonic::{Code, Request, Response, Status};

const RULES_MAX: usize = 20;
const LATENCY: RangeInclusive<Duration> = Duration::from_nanos(1)..=Duration::from_secs(60);
/// A shorter one would be noise, a longer one an outage.
const PERIOD: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);

/// `PaymentsAdminService`, to be added to a server.
pub fn admin(behavior: Behavior) -> PaymentsAdminServiceServer<impl PaymentsAdminService> {
    PaymentsAdminServiceServer::new(Admin { behavior }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Admin {
    behavior: Behavior,
}

#[tonic::async_trait]
impl PaymentsAdminService for Admin {
    async fn set_behavior(
        &self,
        request: Request<wire::SetBehaviorRequest>,
    ) -> Result<Response<wire::SetBehaviorResponse>, Status> {
        let rules = rules(&request.into_inner().rules)?;
        tracing::warn!(?rules, "told how to behave");
        self.behavior.set(rules.clone());
        let rules = rules.iter().map(Into::into).collect();
        Ok(Response::new(wire::SetBehaviorResponse { rules }))
    }

    async fn get_behavior(
        &self,
        _: Request<wire::GetBehaviorRequest>,
    ) -> Result<Response<wire::GetBehaviorResponse>, Status> {
        let rules = self.behavior.rules().iter().map(Into::into).collect();
        Ok(Response::new(wire::GetBehaviorResponse { rules }))
    }
}

fn rules(wanted: &[wire::BehaviorRule]) -> Result<Vec<Rule>, Status> {
    let mut violations = Violations::new();
    if wanted.len() > RULES_MAX {
        violations.add("rules", format!("must be at most {RULES_MAX}"));
    }
    let rules: Vec<Option<Rule>> = wanted
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            Field {
                violations: &mut violations,
                index,
            }
            .rule(rule)
        })
        .collect();
    violations.into_result()?;
    Ok(rules.into_iter().flatten().collect())
}

/// One rule under examination: none is valid, or a violation says why not.
struct Field<'a> {
    violations: &'a mut Violations,
    index: usize,
}

impl Field<'_> {
    fn rule(&mut self, wanted: &wire::BehaviorRule) -> Option<Rule> {
        let effect = self.effect(wanted);
        let share = self.share(wanted.share);
        let remaining = u64::try_from(wanted.remaining_calls);
        if remaining.is_err() {
            self.wrong("remaining_calls", "must not be negative");
        }
        Some(Rule {
            effect: effect?,
            share: share?,
            remaining: NonZeroU64::new(remaining.ok()?),
        })
    }

    fn effect(&mut self, wanted: &wire::BehaviorRule) -> Option<Effect> {
        self.foreign(wanted);
        match wanted.kind() {
            BehaviorKind::Ok => Some(Effect::Ok),
            BehaviorKind::Decline => Some(Effect::Decline),
            BehaviorKind::Fail => self.code(wanted.code).map(Effect::Fail),
            BehaviorKind::Latency => self.latency(wanted.latency).map(Effect::Latency),
            BehaviorKind::LoseReply => Some(Effect::LoseReply),
            BehaviorKind::Flap => {
                let (period, code) = (self.period(wanted.period), self.code(wanted.code));
                Some(Effect::Flap {
                    period: period?,
                    code: code?,
                })
            }
            // Also a number that this version does not know.
            BehaviorKind::Unspecified => {
                self.wrong(
                    "kind",
                    "must be OK, DECLINE, FAIL, LATENCY, LOSE_REPLY or FLAP",
                );
                None
            }
        }
    }

    /// Fields of another kind are not ignored: whoever writes FAIL with a latency means to
    /// have both.
    fn foreign(&mut self, wanted: &wire::BehaviorRule) {
        let kind = wanted.kind();
        if wanted.latency.is_some() && kind != BehaviorKind::Latency {
            self.wrong(
                "latency",
                "is for LATENCY only; write a rule of its own before this one",
            );
        }
        if wanted.code != 0 && !matches!(kind, BehaviorKind::Fail | BehaviorKind::Flap) {
            self.wrong("code", "is for FAIL and FLAP only");
        }
        if wanted.period.is_some() && kind != BehaviorKind::Flap {
            self.wrong("period", "is for FLAP only");
        }
    }

    fn code(&mut self, code: i32) -> Option<Code> {
        match code {
            0 => Some(Code::Unavailable),
            1..=16 => Some(Code::from_i32(code)),
            _ => {
                self.wrong(
                    "code",
                    "must be a google.rpc.Code from 1 to 16, or 0 for 14",
                );
                None
            }
        }
    }

    fn latency(&mut self, latency: Option<prost_types::Duration>) -> Option<Duration> {
        let latency = within(&LATENCY, latency);
        if latency.is_none() {
            self.wrong("latency", "must be over 0 and at most 60 s");
        }
        latency
    }

    fn period(&mut self, period: Option<prost_types::Duration>) -> Option<Duration> {
        let period = within(&PERIOD, period);
        if period.is_none() {
            self.wrong("period", "must be 10 ms to 10 min");
        }
        period
    }

    fn share(&mut self, share: f64) -> Option<f64> {
        // False for NaN.
        if !(0.0..=1.0).contains(&share) {
            self.wrong("share", "must be 0 to 1");
            return None;
        }
        Some(if share == 0.0 { 1.0 } else { share })
    }

    fn wrong(&mut self, field: &str, description: &str) {
        self.violations
            .add(format!("rules[{}].{field}", self.index), description);
    }
}

fn within(
    range: &RangeInclusive<Duration>,
    duration: Option<prost_types::Duration>,
) -> Option<Duration> {
    let duration = Duration::try_from(duration?).ok()?;
    range.contains(&duration).then_some(duration)
}

impl From<&Rule> for wire::BehaviorRule {
    fn from(rule: &Rule) -> Self {
        let mut wire = Self {
            share: rule.share,
            // More than fits was never set.
            remaining_calls: rule.remaining.map_or(0, |n| n.get().cast_signed()),
            ..Self::default()
        };
        match rule.effect {
            Effect::Ok => wire.set_kind(BehaviorKind::Ok),
            Effect::Decline => wire.set_kind(BehaviorKind::Decline),
            Effect::LoseReply => wire.set_kind(BehaviorKind::LoseReply),
            Effect::Fail(code) => {
                wire.set_kind(BehaviorKind::Fail);
                wire.code = code.into();
            }
            Effect::Latency(latency) => {
                wire.set_kind(BehaviorKind::Latency);
                wire.latency = prost_types::Duration::try_from(latency).ok();
            }
            Effect::Flap { period, code } => {
                wire.set_kind(BehaviorKind::Flap);
                wire.period = prost_types::Duration::try_from(period).ok();
                wire.code = code.into();
            }
        }
        wire
    }
}

#[cfg(test)]
mod tests;
