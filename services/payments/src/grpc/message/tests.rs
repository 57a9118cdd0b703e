use super::*;
use tonic_types::StatusExt as _;
use uuid::Uuid;

fn request() -> wire::ChargeRequest {
    wire::ChargeRequest {
        idempotency_key: "a-key".to_owned(),
        amount: Some(euros(350)),
        payment_token: "tok_visa".to_owned(),
        order_id: Uuid::now_v7().to_string(),
    }
}

fn euros(amount_minor: i64) -> wire_money::Money {
    wire_money::Money {
        currency_code: "EUR".to_owned(),
        amount_minor,
    }
}

fn payments(count: usize) -> Vec<Payment> {
    let (key, charge) = charge(request()).expect("the request is valid");
    (0..count)
        .map(|_| Payment::propose(&key, charge.clone(), false))
        .collect()
}

fn wrong_fields<T>(checked: Result<T, Status>) -> Vec<String> {
    let status = checked.err().expect("something is wrong");
    let request = status.get_details_bad_request().expect("it says what");
    request
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

#[test]
fn all_that_is_wrong_with_a_charge_is_said_at_once() {
    let wrong = wire::ChargeRequest {
        idempotency_key: "k".repeat(101),
        amount: Some(wire_money::Money {
            currency_code: "USD".to_owned(),
            amount_minor: 0,
        }),
        payment_token: "with space".to_owned(),
        order_id: "17".to_owned(),
    };
    let fields = [
        "idempotency_key",
        "amount.currency_code",
        "amount.amount_minor",
        "payment_token",
        "order_id",
    ];
    assert_eq!(wrong_fields(charge(wrong)), fields);
    let none = ["idempotency_key", "amount", "payment_token", "order_id"];
    assert_eq!(wrong_fields(charge(wire::ChargeRequest::default())), none);
}

#[test]
fn all_that_is_wrong_with_a_refund_or_a_cancel_is_said_at_once() {
    let wrong = wire::RefundRequest {
        idempotency_key: String::new(),
        payment_id: "17".to_owned(),
        amount: None,
        reason: "r".repeat(201),
    };
    let fields = ["idempotency_key", "payment_id", "amount", "reason"];
    assert_eq!(wrong_fields(refund(wrong)), fields);
    let none = cancelled_key(wire::CancelPaymentRequest::default());
    assert_eq!(wrong_fields(none), ["idempotency_key"]);
}

#[test]
fn a_tombstone_says_nothing_of_a_charge() {
    let tombstone = wire::Payment::from(Payment::tombstone("a-key"));
    assert_eq!(tombstone.state(), wire::PaymentState::Cancelled);
    assert_eq!((tombstone.amount, tombstone.refunded_amount), (None, None));
    assert_eq!(tombstone.order_id, "");
}

#[test]
fn the_limits_themselves_are_allowed() {
    let most = wire::ChargeRequest {
        idempotency_key: "k".repeat(100),
        amount: Some(euros(1_000_000)),
        payment_token: "t".repeat(200),
        ..request()
    };
    assert!(charge(most).is_ok());
    let more = wire::ChargeRequest {
        amount: Some(euros(1_000_001)),
        ..request()
    };
    assert_eq!(wrong_fields(charge(more)), ["amount.amount_minor"]);
}

#[test]
fn a_payment_is_looked_up_by_something() {
    assert_eq!(
        wrong_fields(payment_name(wire::GetPaymentRequest::default())),
        ["by"]
    );
    let by = Some(By::PaymentId("17".to_owned()));
    assert_eq!(
        wrong_fields(payment_name(wire::GetPaymentRequest { by })),
        ["payment_id"]
    );
    let by = Some(By::IdempotencyKey(String::new()));
    assert_eq!(
        wrong_fields(payment_name(wire::GetPaymentRequest { by })),
        ["idempotency_key"]
    );
}

#[test]
fn a_page_token_leads_behind_the_last_payment_of_its_page() {
    let rows = payments(3);
    let first = page(&wire::ListPaymentsRequest {
        page_size: 2,
        ..Default::default()
    });
    let response = first.expect("the request is valid").response(rows.clone());
    assert_eq!(response.payments.len(), 2);
    let next = wire::ListPaymentsRequest {
        page_size: 2,
        page_token: response.next_page_token,
    };
    let next = page(&next).expect("the token is ours");
    assert_eq!(next.before, Some(rows[1].payment_id));
    assert_eq!(next.response(payments(2)).next_page_token, "");
}

#[test]
fn a_foreign_page_token_is_refused() {
    let other_list = page::encode("ListOrders", &Uuid::now_v7().to_string());
    for page_token in ["17".to_owned(), other_list] {
        let request = wire::ListPaymentsRequest {
            page_size: -1,
            page_token,
        };
        assert_eq!(wrong_fields(page(&request)), ["page_size", "page_token"]);
    }
}
