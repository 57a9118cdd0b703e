use super::*;
use tonic_types::StatusExt as _;

fn rule(kind: BehaviorKind) -> wire::BehaviorRule {
    wire::BehaviorRule {
        kind: kind.into(),
        ..wire::BehaviorRule::default()
    }
}

fn slow(latency: prost_types::Duration) -> wire::BehaviorRule {
    wire::BehaviorRule {
        latency: Some(latency),
        ..rule(BehaviorKind::Latency)
    }
}

fn flap(period: prost_types::Duration) -> wire::BehaviorRule {
    wire::BehaviorRule {
        period: Some(period),
        ..rule(BehaviorKind::Flap)
    }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn wrong_fields(wanted: &[wire::BehaviorRule]) -> Vec<String> {
    let status = rules(wanted).expect_err("something is wrong");
    let request = status.get_details_bad_request().expect("it says what");
    request
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

#[test]
fn what_is_left_out_is_filled_in() {
    let rules = rules(&[rule(BehaviorKind::Fail)]).expect("all is well");
    let all = Rule {
        effect: Effect::Fail(Code::Unavailable),
        share: 1.0,
        remaining: None,
    };
    assert_eq!(rules, [all]);
}

#[test]
fn rules_come_back_as_they_were_set() {
    let wanted = [
        wire::BehaviorRule {
            share: 0.25,
            remaining_calls: i64::MAX,
            ..rule(BehaviorKind::Decline)
        },
        wire::BehaviorRule {
            share: 1.0,
            code: 16,
            ..rule(BehaviorKind::Fail)
        },
        wire::BehaviorRule {
            share: 1.0,
            ..slow(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            })
        },
        wire::BehaviorRule {
            share: 1.0,
            ..rule(BehaviorKind::LoseReply)
        },
        wire::BehaviorRule {
            share: 1.0,
            code: 8,
            ..flap(seconds(4))
        },
    ];
    let rules = rules(&wanted).expect("all is well");
    let back: Vec<wire::BehaviorRule> = rules.iter().map(Into::into).collect();
    assert_eq!(back, wanted);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let wanted = [
        wire::BehaviorRule {
            share: f64::NAN,
            remaining_calls: -1,
            ..rule(BehaviorKind::Unspecified)
        },
        wire::BehaviorRule {
            share: 1.1,
            code: 17,
            ..rule(BehaviorKind::Fail)
        },
        wire::BehaviorRule {
            share: -0.1,
            ..rule(BehaviorKind::Latency)
        },
    ];
    let fields = [
        "rules[0].kind",
        "rules[0].share",
        "rules[0].remaining_calls",
        "rules[1].code",
        "rules[1].share",
        "rules[2].latency",
        "rules[2].share",
    ];
    assert_eq!(wrong_fields(&wanted), fields);
}

#[test]
fn a_latency_is_over_nothing_and_at_most_a_minute() {
    let a_moment_more = prost_types::Duration {
        seconds: 60,
        nanos: 1,
    };
    for latency in [seconds(0), seconds(-1), seconds(i64::MAX), a_moment_more] {
        assert_eq!(
            wrong_fields(&[slow(latency)]),
            ["rules[0].latency"],
            "{latency:?}"
        );
    }
}

#[test]
fn a_period_is_neither_noise_nor_an_outage() {
    let too_short = prost_types::Duration {
        seconds: 0,
        nanos: 9_999_999,
    };
    for period in [seconds(0), seconds(-1), seconds(601), too_short] {
        let wrong = wrong_fields(&[flap(period)]);
        assert_eq!(wrong, ["rules[0].period"], "{period:?}");
    }
    assert_eq!(
        wrong_fields(&[rule(BehaviorKind::Flap)]),
        ["rules[0].period"]
    );
}

#[test]
fn a_field_of_another_kind_is_not_ignored() {
    let fail = wire::BehaviorRule {
        latency: Some(seconds(1)),
        ..rule(BehaviorKind::Fail)
    };
    let slow = wire::BehaviorRule {
        code: 14,
        ..slow(seconds(1))
    };
    let decline = wire::BehaviorRule {
        period: Some(seconds(1)),
        ..rule(BehaviorKind::Decline)
    };
    assert_eq!(
        wrong_fields(&[fail, slow, decline]),
        ["rules[0].latency", "rules[1].code", "rules[2].period"]
    );
}

#[test]
fn twenty_rules_are_enough() {
    assert!(rules(&vec![rule(BehaviorKind::Ok); 20]).is_ok());
    assert_eq!(wrong_fields(&vec![rule(BehaviorKind::Ok); 21]), ["rules"]);
}
