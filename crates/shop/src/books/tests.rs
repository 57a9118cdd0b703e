//! What customers were told of one request.

use uuid::Uuid;

use super::{
    Books, Rule, Summary,
    refusals::{Stored, refused},
};
use crate::history::{Answer, Call, Outcome};

#[test]
fn a_request_that_became_two_orders_is_found_and_one_that_was_repeated_is_not() {
    let mut books = Books {
        findings: Vec::new(),
        summary: Summary::default(),
    };
    let [one, other] = [1, 2].map(Uuid::from_u128);
    let calls = [
        call("a", None),
        call("a", Some(one)),
        call("a", Some(one)),
        call("b", Some(one)),
    ];
    books.compare_calls(&calls);
    assert_eq!(books.findings, []);

    books.compare_calls(&[call("a", Some(one)), call("a", Some(other))]);
    let found: Vec<_> = books
        .findings
        .iter()
        .map(|f| (f.rule, f.order_id))
        .collect();
    assert_eq!(found, [(Rule::PlacedTwice, other)]);
}

#[test]
fn a_refused_request_that_is_stored_is_found_unless_it_was_declined() {
    let mut books = Books {
        findings: Vec::new(),
        summary: Summary::default(),
    };
    let stored = |state: &str| Stored {
        request_id: Uuid::from_u128(1),
        order_id: Uuid::from_u128(2),
        state: state.to_owned(),
    };
    books.compare_refusals(&[stored("DECLINED")]);
    assert_eq!(books.findings, []);

    books.compare_refusals(&[stored("READY")]);
    let found: Vec<_> = books.findings.iter().map(|f| f.rule).collect();
    assert_eq!(found, [Rule::DoneAndDenied]);
}

#[test]
fn a_request_is_refused_if_all_its_calls_failed() {
    let [failed, unknown, placed] = [1, 2, 3].map(Uuid::from_u128);
    let calls = [
        fails(failed),
        fails(failed),
        fails(unknown),
        call(&unknown.to_string(), None),
        fails(placed),
        call(&placed.to_string(), Some(placed)),
    ];
    assert_eq!(refused(&calls), [failed]);
}

fn fails(request_id: Uuid) -> Call {
    let mut call = call(&request_id.to_string(), Some(request_id));
    if let Some(answer) = &mut call.answer {
        answer.outcome = Outcome::Fail;
        answer.order_id = None;
    }
    call
}

fn call(request_id: &str, order_id: Option<Uuid>) -> Call {
    let answer = order_id.map(|order_id| Answer {
        answered_us: 2,
        outcome: Outcome::Ok,
        code: String::new(),
        order_id: Some(order_id),
    });
    Call {
        request_id: request_id.to_owned(),
        came_us: 0,
        asked_us: 1,
        answer,
    }
}
