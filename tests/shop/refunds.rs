//! Money goes back once, and all of it, whichever call gives it back.

use crate::{
    payment_keys::{cancel, client, metadata, refunds, second_provider},
    payments::{Payments, charge, euros, find, latte, open},
    reason,
};
use proto::payments::v1::{self as wire, PaymentState};
use shop::harness::Shop;
use tokio::{join, task::JoinSet};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

#[tokio::test]
async fn a_refund_gives_the_whole_amount_back_and_repeats_its_answer() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (request, charged) = charged(&mut payments).await;
    let wanted = all_of(&charged);
    let first = refund(&mut payments, &wanted).await.expect("it is charged");
    assert_eq!(first.payment_id, charged.payment_id);
    assert_eq!(first.amount, charged.amount);

    let reworded = wire::RefundRequest {
        reason: "the customer asked again".to_owned(),
        ..wanted
    };
    let again = refund(&mut payments, &reworded).await.expect("the same");
    assert_eq!(again, first);
    let payment = find(&mut payments, &request).await.expect("it is there");
    assert_eq!(payment.state(), PaymentState::Refunded);
    assert_eq!(payment.refunded_amount, charged.amount);
    assert_eq!(refunds(&shop).await, 1);
    shop.discard().await;
}

/// What is asked for, and how it is refused.
struct Refusal {
    what: &'static str,
    wanted: wire::RefundRequest,
    code: Code,
    reason: &'static str,
    /// What the error says for programs.
    metadata: Vec<(&'static str, String)>,
}

#[tokio::test]
async fn no_money_goes_back_in_part_or_in_excess() {
    let shop = open().await;
    let (_, kept) = charged(&mut shop.payments_client()).await;
    let whole = [
        ("payment_id", kept.payment_id.clone()),
        ("amount_minor", "420".to_owned()),
        ("currency_code", "EUR".to_owned()),
    ];
    let mismatch = |what, minor| {
        let wanted = amount_of(&kept, minor);
        failed(what, wanted, "REFUND_AMOUNT_MISMATCH", &whole)
    };
    let nothing = Refusal {
        code: Code::InvalidArgument,
        ..failed("nothing", amount_of(&kept, 0), "INVALID_REQUEST", &[])
    };
    let refusals = vec![mismatch("a part", 419), mismatch("too much", 421), nothing];
    assert_refused(&shop, refusals).await;
    shop.discard().await;
}

#[tokio::test]
async fn no_money_goes_back_twice_or_of_what_took_none() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (_, given) = charged(&mut payments).await;
    refund(&mut payments, &all_of(&given))
        .await
        .expect("charged");
    let (request, closed) = charged(&mut payments).await;
    cancel(&mut payments, &request).await.expect("closed");
    let tombstone = cancel(&mut payments, &latte()).await.expect("closed");
    let declined = wire::ChargeRequest {
        payment_token: "tok_declined".to_owned(),
        ..latte()
    };
    let declined = charge(&mut payments, &declined).await.expect("an answer");

    let again = |what, payment: &wire::Payment| {
        let key = ("idempotency_key", payment.idempotency_key.clone());
        let metadata = [id(payment), key];
        failed(what, all_of(payment), "PAYMENT_ALREADY_REFUNDED", &metadata)
    };
    let never = |what, payment: &wire::Payment| {
        failed(what, all_of(payment), "PAYMENT_NOT_CHARGED", &[id(payment)])
    };
    let unknown = of(&Uuid::now_v7().to_string());
    let unknown = Refusal {
        code: Code::NotFound,
        ..failed("an unknown payment", unknown, "PAYMENT_NOT_FOUND", &[])
    };
    let refusals = vec![
        again("a second refund", &given),
        again("a refund after a cancel", &closed),
        never("a declined payment", &declined),
        never("a tombstone", &tombstone),
        unknown,
    ];
    assert_refused(&shop, refusals).await;
    shop.discard().await;
}

#[tokio::test]
async fn no_money_goes_back_under_a_key_that_stands_for_something_else() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (_, given) = charged(&mut payments).await;
    let first = all_of(&given);
    refund(&mut payments, &first).await.expect("charged");
    let (request, kept) = charged(&mut payments).await;
    let (_, other) = charged(&mut payments).await;
    let tombstone = cancel(&mut payments, &latte()).await.expect("closed");

    let reused = |what, key: &str, wanted| Refusal {
        code: Code::AlreadyExists,
        ..failed(what, keyed(key, wanted), "IDEMPOTENCY_KEY_REUSED", &[])
    };
    let (used, charge) = (&first.idempotency_key, &request.idempotency_key);
    let unknown = of(&Uuid::now_v7().to_string());
    let refusals = vec![
        reused("another payment's refund", used, all_of(&kept)),
        reused("an unknown payment's refund", used, unknown),
        reused("another amount", used, amount_of(&given, 419)),
        reused("the charge's own key", charge, all_of(&kept)),
        reused("another charge's key", charge, all_of(&other)),
        reused("a closed key", &tombstone.idempotency_key, all_of(&other)),
    ];
    assert_refused(&shop, refusals).await;
    shop.discard().await;
}

async fn assert_refused(shop: &Shop, refusals: Vec<Refusal>) {
    let before = refunds(shop).await;
    for refusal in refusals {
        let what = refusal.what;
        let refused = refund(&mut shop.payments_client(), &refusal.wanted).await;
        let refused = refused.expect_err(what);
        assert_eq!(refused.code(), refusal.code, "{what}");
        assert_eq!(reason(&refused), refusal.reason, "{what}");
        for (key, value) in &refusal.metadata {
            assert_eq!(metadata(&refused, key), *value, "{what}: {key}");
        }
        let missing = refused.get_details_resource_info();
        let missing = missing.map(|resource| resource.resource_name);
        let expected = (refusal.code == Code::NotFound).then_some(refusal.wanted.payment_id);
        assert_eq!(missing, expected, "{what}");
    }
    assert_eq!(refunds(shop).await, before, "nothing was given back");
}

fn failed(
    what: &'static str,
    wanted: wire::RefundRequest,
    reason: &'static str,
    metadata: &[(&'static str, String)],
) -> Refusal {
    Refusal {
        what,
        wanted,
        code: Code::FailedPrecondition,
        reason,
        metadata: metadata.to_vec(),
    }
}

fn id(payment: &wire::Payment) -> (&'static str, String) {
    ("payment_id", payment.payment_id.clone())
}

#[tokio::test]
async fn twenty_equal_refunds_at_two_providers_are_one() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let clients = [shop.payments_client(), client(&second)];
    for turn in 1..=5 {
        let (_, charged) = charged(&mut shop.payments_client()).await;
        let wanted = vec![all_of(&charged); 20];
        let answers = refund_at_once(&clients, wanted).await.into_iter();
        let mut answers: Vec<wire::Refund> = answers
            .map(|answer| answer.expect("an answer for each"))
            .collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "the same answer");
        assert_eq!(refunds(&shop).await, turn);
    }
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn of_twenty_refunds_of_one_payment_under_other_keys_one_gives_the_money_back() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let clients = [shop.payments_client(), client(&second)];
    let (_, charged) = charged(&mut shop.payments_client()).await;
    let wanted = (0..20).map(|_| all_of(&charged)).collect();
    let answers = refund_at_once(&clients, wanted).await;
    let refused: Vec<String> = answers
        .into_iter()
        .filter_map(Result::err)
        .map(|e| reason(&e))
        .collect();
    assert_eq!(refused, ["PAYMENT_ALREADY_REFUNDED"; 19]);
    assert_eq!(refunds(&shop).await, 1);
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn one_key_at_once_for_two_payments_is_one_refund() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let clients = [shop.payments_client(), client(&second)];
    for _ in 0..20 {
        let (_, one) = charged(&mut shop.payments_client()).await;
        let (_, other) = charged(&mut shop.payments_client()).await;
        let wanted = all_of(&one);
        let same_key = keyed(&wanted.idempotency_key, all_of(&other));
        let answers = refund_at_once(&clients, vec![wanted, same_key]).await;
        let refused: Vec<String> = answers
            .into_iter()
            .filter_map(Result::err)
            .map(|e| reason(&e))
            .collect();
        assert_eq!(refused, ["IDEMPOTENCY_KEY_REUSED"]);
    }
    assert_eq!(refunds(&shop).await, 20);
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn a_refund_and_a_cancel_at_once_give_the_money_back_once() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let (mut one, mut other) = (shop.payments_client(), client(&second));
    for turn in 1..=50 {
        let (request, charged) = charged(&mut one).await;
        let wanted = all_of(&charged);
        let (refunded, closed) = join!(refund(&mut one, &wanted), cancel(&mut other, &request));
        let closed = closed.expect("a cancel is always answered");
        assert_eq!(closed.state(), PaymentState::Refunded);
        if let Err(refused) = refunded {
            assert_eq!(reason(&refused), "PAYMENT_ALREADY_REFUNDED");
        }
        assert_eq!(refunds(&shop).await, turn);
    }
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn the_ledger_itself_takes_no_second_refund_of_a_payment() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (request, _) = charged(&mut payments).await;
    cancel(&mut payments, &request).await.expect("closed");
    let second = "insert into refunds select gen_random_uuid(), 'another', payment_id, \
                      amount_minor, currency_code, reason, create_time from refunds";
    let refused = sqlx::query(second).execute(&shop.payments_pool()).await;
    let refused = refused.expect_err("it was given back already");
    let refused = refused.as_database_error().expect("Postgres refused it");
    assert_eq!(refused.constraint(), Some("refunds_payment_id_key"));
    shop.discard().await;
}

/// A request, and the payment that it became.
pub async fn charged(payments: &mut Payments) -> (wire::ChargeRequest, wire::Payment) {
    let request = latte();
    let payment = charge(payments, &request).await.expect("charged");
    (request, payment)
}

/// A refund of the whole amount, with a key of its own.
pub fn all_of(payment: &wire::Payment) -> wire::RefundRequest {
    of(&payment.payment_id)
}

fn of(payment_id: &str) -> wire::RefundRequest {
    wire::RefundRequest {
        idempotency_key: Uuid::new_v4().to_string(),
        payment_id: payment_id.to_owned(),
        amount: Some(euros(420)),
        reason: "cold".to_owned(),
    }
}

fn amount_of(payment: &wire::Payment, amount_minor: i64) -> wire::RefundRequest {
    wire::RefundRequest {
        amount: Some(euros(amount_minor)),
        ..all_of(payment)
    }
}

fn keyed(idempotency_key: &str, wanted: wire::RefundRequest) -> wire::RefundRequest {
    wire::RefundRequest {
        idempotency_key: idempotency_key.to_owned(),
        ..wanted
    }
}

/// Gives money back.
pub async fn refund(
    payments: &mut Payments,
    wanted: &wire::RefundRequest,
) -> Result<wire::Refund, Status> {
    let response = payments.refund(wanted.clone()).await?.into_inner();
    Ok(response.refund.expect("an answer holds its refund"))
}

/// Spread over the clients.
async fn refund_at_once(
    clients: &[Payments],
    wanted: Vec<wire::RefundRequest>,
) -> Vec<Result<wire::Refund, Status>> {
    let mut calls = JoinSet::new();
    for (wanted, payments) in wanted.into_iter().zip(clients.iter().cycle()) {
        let mut payments = payments.clone();
        calls.spawn(async move { refund(&mut payments, &wanted).await });
    }
    calls.join_all().await
}
