//! The rules, for people.

use std::time::Duration;

use proto::payments::v1::{BehaviorKind, BehaviorRule};
use rpc::status;
use tonic::Code;

pub(super) fn print(rules: &[BehaviorRule]) {
    if rules.is_empty() {
        let green = anstyle::AnsiColor::Green.on_default();
        anstream::println!("{green}payments behaves well{green:#}: there are no rules");
        return;
    }
    let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
    anstream::println!("payments is told; the first rule that takes a call decides:");
    for (at, rule) in (1..).zip(rules) {
        let (word, does, calls) = (word(rule.kind()), does(rule), calls(rule));
        anstream::println!("{at:>3}  {yellow}{word:<11}{yellow:#}{does:<44}  {calls}");
    }
}

/// As it is written on the command line.
fn word(kind: BehaviorKind) -> &'static str {
    match kind {
        BehaviorKind::Ok => "ok",
        BehaviorKind::Fail => "fail",
        BehaviorKind::Latency => "slow",
        BehaviorKind::Flap => "flap",
        BehaviorKind::LoseReply => "lose-reply",
        BehaviorKind::Decline => "decline",
        BehaviorKind::Unspecified => "?",
    }
}

fn does(rule: &BehaviorRule) -> String {
    let code = status::name(Code::from_i32(rule.code));
    match rule.kind() {
        BehaviorKind::Ok => "goes well, whatever the rules after it say".to_owned(),
        BehaviorKind::Fail => format!("answers {code}"),
        BehaviorKind::Latency => format!("waits {}, then goes on", shown(rule.latency)),
        BehaviorKind::Flap => format!("answers {code} for half of every {}", shown(rule.period)),
        BehaviorKind::LoseReply => "does it, and loses the reply".to_owned(),
        BehaviorKind::Decline => "declines the card".to_owned(),
        BehaviorKind::Unspecified => "this program is older than the service".to_owned(),
    }
}

fn calls(rule: &BehaviorRule) -> String {
    let calls = match rule.kind() {
        BehaviorKind::Decline => "charges",
        _ => "calls",
    };
    // The shortest that is this number: what was written.
    let share = match rule.share {
        1.0 => format!("all {calls}"),
        share => format!("{share} of {calls}"),
    };
    match rule.remaining_calls {
        0 => share,
        left => format!("{share}, {left} left"),
    }
}

fn shown(duration: Option<prost_types::Duration>) -> humantime::FormattedDuration {
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    humantime::format_duration(duration.unwrap_or_default())
}

/// A code by name or number.
pub(super) fn code(text: &str) -> Result<Code, String> {
    let named = |code: &Code| {
        status::name(*code) == text.to_uppercase() || i32::from(*code).to_string() == text
    };
    (1..=16)
        .map(Code::from_i32)
        .find(named)
        .ok_or_else(|| "must be a gRPC status code: UNAVAILABLE or 14, but not OK".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_name_and_a_number() {
        for text in ["RESOURCE_EXHAUSTED", "resource_exhausted", "8"] {
            assert_eq!(code(text), Ok(Code::ResourceExhausted), "{text}");
        }
        for text in ["OK", "0", "17", "", "UNAVAILABE"] {
            assert!(code(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_is_told_in_words() {
        let rule = BehaviorRule {
            kind: BehaviorKind::Flap.into(),
            share: 0.3,
            code: 14,
            remaining_calls: 5,
            period: Some(prost_types::Duration {
                seconds: 4,
                nanos: 0,
            }),
            ..Default::default()
        };
        assert_eq!(does(&rule), "answers UNAVAILABLE for half of every 4s");
        assert_eq!(calls(&rule), "0.3 of calls, 5 left");
        let all = BehaviorRule {
            kind: BehaviorKind::Decline.into(),
            share: 1.0,
            ..Default::default()
        };
        assert_eq!(calls(&all), "all charges");
    }
}
