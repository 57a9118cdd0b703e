//! Calls of `PaymentsAdminService`: rules, to and from the wire.

use crate::behavior::{Behavior, Effect, Rule};
use proto::payments::v1::{
    self as wire, BehaviorKind,
    payments_admin_service_server::{PaymentsAdminService, PaymentsAdminServiceServer},
};
use rpc::{server::MAX_REQUEST_BYTES, status::Violations};
use std::{num::NonZeroU64, time::Duration};
use tonic::{Code, Request, Response, Status};

const RULES_MAX: usize = 20;
const LATENCY_MAX: Duration = Duration::from_secs(60);

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
        // Not ignored: whoever writes FAIL with a latency means to have both.
        if wanted.latency.is_some() && wanted.kind() != BehaviorKind::Latency {
            self.wrong(
                "latency",
                "is for LATENCY only; write a rule of its own before this one",
            );
        }
        if wanted.code != 0 && wanted.kind() != BehaviorKind::Fail {
            self.wrong("code", "is for FAIL only");
        }
        match wanted.kind() {
            BehaviorKind::Ok => Some(Effect::Ok),
            BehaviorKind::Decline => Some(Effect::Decline),
            BehaviorKind::Fail => self.code(wanted.code).map(Effect::Fail),
            BehaviorKind::Latency => self.latency(wanted.latency).map(Effect::Latency),
            BehaviorKind::LoseReply => Some(Effect::LoseReply),
            // Also a number that this version does not know.
            BehaviorKind::Unspecified => {
                self.wrong("kind", "must be OK, DECLINE, FAIL, LATENCY or LOSE_REPLY");
                None
            }
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
        let latency = latency.and_then(|latency| Duration::try_from(latency).ok());
        let valid = latency.filter(|latency| !latency.is_zero() && *latency <= LATENCY_MAX);
        if valid.is_none() {
            self.wrong("latency", "must be over 0 and at most 60 s");
        }
        valid
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
        }
        wire
    }
}

#[cfg(test)]
mod tests;
