//! Charged, declined or closed: whoever comes first decides a key, and nobody decides it again.

use crate::{
    count,
    payments::{Payments, charge, find, latte, open},
    reason,
};
use batching::Work as _;
use payments::{
    cancel::close,
    charge::Deciding,
    payment::{Charge, Decision, Money, OrderId, Payment, TokenHash},
};
use proto::payments::v1::{
    self as wire, BehaviorKind, BehaviorRule, GetBehaviorRequest, PaymentState, SetBehaviorRequest,
};
use shop::harness::{Hosted, Shop, eventually};
use sqlx::PgPool;
use std::slice;
use tokio::{join, task::JoinSet, try_join};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

#[tokio::test]
async fn a_key_that_was_closed_is_never_charged() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let request = latte();
    let closed = cancel(&mut payments, &request).await.expect("it is free");
    assert_eq!(closed.state(), PaymentState::Cancelled);
    assert_eq!(
        (closed.amount.clone(), closed.order_id.as_str()),
        (None, "")
    );

    for other in [request.clone(), dearer(&request), declined(&request)] {
        let refused = charge(&mut payments, &other).await.expect_err("closed");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "PAYMENT_CANCELLED");
        assert_eq!(
            metadata(&refused, "idempotency_key"),
            request.idempotency_key
        );
    }
    let again = cancel(&mut payments, &request).await.expect("it is closed");
    assert_eq!(again, closed);
    assert_eq!(find(&mut payments, &request).await.expect("a row"), closed);
    shop.discard().await;
}

#[tokio::test]
async fn closing_a_charged_key_gives_all_the_money_back_once() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let clients = [shop.payments_client(), client(&second)];
    // More than once: a new provider opens its connections one by one, and calls queue.
    for turn in 1..=5 {
        let request = latte();
        let charged = charge(&mut clients[0].clone(), &request).await;
        let charged = charged.expect("charged");
        for refunded in cancel_at_once(&clients, &request, 20).await {
            assert_eq!(refunded.state(), PaymentState::Refunded);
            assert_eq!(refunded.refunded_amount, charged.amount);
            assert_eq!(refunded.payment_id, charged.payment_id);
        }
        let again = charge(&mut clients[0].clone(), &request).await;
        let again = again.expect("the decision, as it is now");
        assert_eq!(again.state(), PaymentState::Refunded);
        assert_eq!(refunds(&shop).await, turn);
    }
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn closing_a_declined_key_changes_nothing() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let request = declined(&latte());
    let declined = charge(&mut payments, &request).await.expect("an answer");
    for _ in 0..2 {
        let closed = cancel(&mut payments, &request).await.expect("an answer");
        assert_eq!(closed, declined);
    }
    let again = charge(&mut payments, &request).await.expect("an answer");
    assert_eq!(again.state(), PaymentState::Declined);
    shop.discard().await;
}

#[tokio::test]
async fn twenty_equal_charges_at_two_providers_are_one_payment() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    for _ in 0..10 {
        let request = latte();
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            for mut payments in [shop.payments_client(), client(&second)] {
                let request = request.clone();
                calls.spawn(async move { charge(&mut payments, &request).await });
            }
        }
        let answers = calls.join_all().await.into_iter();
        let mut ids: Vec<String> = answers
            .map(|answer| answer.expect("the provider is well").payment_id)
            .collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn a_key_charged_and_closed_at_once_is_never_charged_and_kept() {
    let shop = open().await;
    let second = second_provider(&shop).await;
    let (mut one, mut other) = (shop.payments_client(), client(&second));
    let mut states = Vec::new();
    for turn in 0..100 {
        let request = latte();
        // Each goes first half of the time.
        let (charged, closed) = if turn % 2 == 0 {
            join!(charge(&mut one, &request), cancel(&mut other, &request))
        } else {
            let calls = join!(cancel(&mut other, &request), charge(&mut one, &request));
            (calls.1, calls.0)
        };
        let closed = closed.expect("a cancel is always answered").state();
        match charged {
            Ok(_) => assert_eq!(closed, PaymentState::Refunded),
            Err(refused) => {
                assert_eq!(reason(&refused), "PAYMENT_CANCELLED");
                assert_eq!(closed, PaymentState::Cancelled);
            }
        }
        states.push(closed);
    }
    let both = [PaymentState::Refunded, PaymentState::Cancelled];
    assert!(both.iter().all(|state| states.contains(state)), "no race");
    let kept = "select count(*) from payments where state = 'CHARGED'";
    assert_eq!(count(&shop.payments_pool(), kept).await, 0);
    second.stop().await.expect("it ends well");
    shop.discard().await;
}

#[tokio::test]
async fn a_cancel_waits_for_the_charge_before_it_and_gives_its_money_back() {
    let shop = open().await;
    let pool = shop.payments_pool();
    let proposal = proposal();
    let mut charging = pool.begin().await.expect("the database is up");
    let decided = Deciding
        .apply(&mut charging, slice::from_ref(&proposal))
        .await;
    assert_eq!(
        decided.expect("the key is free")[0].decision,
        proposal.decision
    );

    let commit = async {
        until_somebody_waits(&pool).await;
        charging.commit().await
    };
    let (closed, committed) = join!(closed(&pool, &proposal.idempotency_key), commit);
    committed.expect("the database is up");
    let closed = closed.expect("it waits for the charge, and then closes the key");
    assert!(
        matches!(closed.decision, Decision::Refunded(_)),
        "{closed:?}"
    );
    assert_eq!(refunds(&shop).await, 1);
    shop.discard().await;
}

#[tokio::test]
async fn a_charge_waits_for_the_cancel_before_it_and_is_refused() {
    let shop = open().await;
    let pool = shop.payments_pool();
    let proposal = proposal();
    let mut closing = pool.begin().await.expect("the database is up");
    let tombstone = close(&mut closing, &proposal.idempotency_key).await;
    let tombstone = tombstone.expect("the key is free");

    let commit = async {
        until_somebody_waits(&pool).await;
        closing.commit().await
    };
    let (decided, committed) = join!(decided(&pool, slice::from_ref(&proposal)), commit);
    committed.expect("the database is up");
    assert_eq!(decided.expect("it waits for the cancel"), [tombstone]);
    shop.discard().await;
}

#[tokio::test]
async fn a_charge_that_waits_for_a_cancel_that_fails_decides_the_key() {
    let shop = open().await;
    let pool = shop.payments_pool();
    let proposal = proposal();
    let mut closing = pool.begin().await.expect("the database is up");
    let tombstone = close(&mut closing, &proposal.idempotency_key).await;
    tombstone.expect("the key is free");

    let roll_back = async {
        until_somebody_waits(&pool).await;
        closing.rollback().await
    };
    let (decided, rolled_back) = join!(decided(&pool, slice::from_ref(&proposal)), roll_back);
    rolled_back.expect("the database is up");
    let decided = decided.expect("it waits for the cancel");
    assert_eq!(decided[0].payment_id, proposal.payment_id);
    shop.discard().await;
}

#[tokio::test]
async fn a_slow_charge_learns_of_the_decline_that_overtook_it() {
    let shop = open().await;
    let (payments, mut admin) = (shop.payments_client(), shop.payments_admin_client());
    let request = latte();
    shop.provider
        .delay_next(1, std::time::Duration::from_secs(1))
        .await;
    let slow = async { charge(&mut payments.clone(), &request).await };
    let overtaking = async {
        eventually("the slow charge to be on its way", async || {
            let rules = admin.get_behavior(GetBehaviorRequest {}).await;
            match rules.expect("it is up").into_inner().rules {
                rules if rules.is_empty() => Ok(()),
                rules => Err(rules),
            }
        })
        .await;
        shop.provider.decline_next(1).await;
        charge(&mut payments.clone(), &request).await
    };
    let (slow, declined) = join!(slow, overtaking);
    let declined = declined.expect("an answer");
    assert_eq!(declined.state(), PaymentState::Declined);
    assert_eq!(slow.expect("an answer"), declined);
    shop.discard().await;
}

#[tokio::test]
async fn a_decline_that_comes_after_the_charge_decides_nothing() {
    let shop = open().await;
    let (mut payments, mut admin) = (shop.payments_client(), shop.payments_admin_client());
    let request = latte();
    let charged = charge(&mut payments, &request).await.expect("charged");
    let rule = BehaviorRule {
        kind: BehaviorKind::Decline.into(),
        ..Default::default()
    };
    let rules = vec![rule];
    let told = admin.set_behavior(SetBehaviorRequest { rules }).await;
    told.expect("the rule is valid");
    let again = charge(&mut payments, &request).await.expect("an answer");
    assert_eq!(again, charged);
    shop.discard().await;
}

#[tokio::test]
async fn batches_with_the_same_keys_in_another_sequence_do_not_deadlock() {
    let shop = open().await;
    let pool = shop.payments_pool();
    // Long enough that each batch has begun when the other is halfway.
    let nap = "create function nap() returns trigger language plpgsql as \
                   'begin perform pg_sleep(0.02); return new; end'; \
               create trigger nap before insert on payments \
                   for each row execute function nap()";
    sqlx::raw_sql(nap).execute(&pool).await.expect("it is ours");
    let one: Vec<Payment> = (0..16).map(|_| proposal()).collect();
    let other: Vec<Payment> = one.iter().rev().map(again).collect();
    let (one, mut other) = try_join!(decided(&pool, &one), decided(&pool, &other))
        .expect("they wait for each other, but not in a circle");
    other.reverse();
    assert_eq!(one, other, "one decision for each key");
    shop.discard().await;
}

fn dearer(request: &wire::ChargeRequest) -> wire::ChargeRequest {
    let amount = Some(crate::payments::euros(421));
    wire::ChargeRequest {
        amount,
        ..request.clone()
    }
}

fn declined(request: &wire::ChargeRequest) -> wire::ChargeRequest {
    wire::ChargeRequest {
        payment_token: "tok_declined".to_owned(),
        ..request.clone()
    }
}

fn proposal() -> Payment {
    let charge = Charge {
        order_id: OrderId(Uuid::now_v7()),
        amount: Money {
            currency_code: "EUR".to_owned(),
            amount_minor: 420,
        },
        token_hash: TokenHash::of("tok_visa"),
    };
    // Not in the sequence in which they are made.
    Payment::propose(Uuid::new_v4(), charge, false)
}

/// The same call once more.
fn again(proposal: &Payment) -> Payment {
    let charge = proposal.decision.charge().expect("it is no tombstone");
    Payment::propose(&proposal.idempotency_key, charge.clone(), false)
}

async fn decided(pool: &PgPool, proposals: &[Payment]) -> sqlx::Result<Vec<Payment>> {
    let mut tx = pool.begin().await?;
    let decided = Deciding.apply(&mut tx, proposals).await?;
    tx.commit().await?;
    Ok(decided)
}

async fn closed(pool: &PgPool, key: &str) -> sqlx::Result<Payment> {
    let mut tx = pool.begin().await?;
    let payment = close(&mut tx, key).await?;
    tx.commit().await?;
    Ok(payment)
}

/// Until a transaction waits for the end of another.
async fn until_somebody_waits(pool: &PgPool) {
    let waiting = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
                   where not l.granted and l.locktype = 'transactionid' \
                     and a.datname = current_database()";
    eventually("a transaction to wait for another", async || {
        match count(pool, waiting).await {
            0 => Err("nobody waits"),
            _ => Ok(()),
        }
    })
    .await;
}

/// Spread over the clients.
async fn cancel_at_once(
    clients: &[Payments],
    request: &wire::ChargeRequest,
    calls: usize,
) -> Vec<wire::Payment> {
    let mut set = JoinSet::new();
    for payments in clients.iter().cycle().take(calls) {
        let (mut payments, request) = (payments.clone(), request.clone());
        set.spawn(async move { cancel(&mut payments, &request).await });
    }
    let answers = set.join_all().await.into_iter();
    answers.map(|answer| answer.expect("an answer")).collect()
}

/// Closes the key of a charge.
pub async fn cancel(
    payments: &mut Payments,
    request: &wire::ChargeRequest,
) -> Result<wire::Payment, Status> {
    let request = wire::CancelPaymentRequest {
        idempotency_key: request.idempotency_key.clone(),
    };
    let response = payments.cancel_payment(request).await?.into_inner();
    Ok(response.payment.expect("an answer holds its payment"))
}

/// Another provider on the same ledger.
pub async fn second_provider(shop: &Shop) -> Hosted {
    crate::second(&shop.payments).await
}

/// A client of it.
pub fn client(provider: &Hosted) -> Payments {
    Payments::new(provider.channel().expect("the URL is our own"))
}

/// How often money was given back.
pub async fn refunds(shop: &Shop) -> i64 {
    count(&shop.payments_pool(), "select count(*) from refunds").await
}

/// What an error says of one thing, for programs.
pub fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info();
    let metadata = info.expect("every error has ErrorInfo").metadata;
    metadata.get(key).cloned().unwrap_or_default()
}
