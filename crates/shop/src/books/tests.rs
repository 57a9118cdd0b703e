//! What customers were told of one request.

use uuid::Uuid;

use super::{Books, Rule, Summary};
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
