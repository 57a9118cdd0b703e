//! The provider misbehaves as it is told, by gRPC or by `shop payments`, and decides no less well.

use crate::{
    payment_keys::{cancel, refunds},
    payments::{Admin, Payments, charge, find, latte, open},
    reason,
    refunds::{all_of, charged, refund},
};
use clap::Parser as _;
use proto::payments::v1::{
    BehaviorKind, BehaviorRule, GetBehaviorRequest, PaymentState, SetBehaviorRequest,
};
use shop::{
    cli::Cli,
    harness::{Shop, eventually},
};
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_refund_whose_reply_was_lost_is_found_by_asking_again() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (_, charged) = charged(&mut payments).await;
    let wanted = all_of(&charged);
    shop.provider.lose_next_replies(1).await;
    let lost = refund(&mut payments, &wanted).await.expect_err("lost");
    assert_eq!(lost.code(), Code::Unavailable);
    assert_eq!(
        refunds(&shop).await,
        1,
        "the reply was lost, not the refund"
    );
    let again = refund(&mut payments, &wanted).await;
    assert_eq!(again.expect("it is known").payment_id, charged.payment_id);
    assert_eq!(refunds(&shop).await, 1);
    shop.discard().await;
}

#[tokio::test]
async fn a_cancel_whose_reply_was_lost_is_found_by_asking_again() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let request = latte();
    shop.provider.lose_next_replies(1).await;
    let lost = cancel(&mut payments, &request).await.expect_err("lost");
    assert_eq!(lost.code(), Code::Unavailable);
    let found = find(&mut payments, &request).await.expect("it is closed");
    let again = cancel(&mut payments, &request).await.expect("it is well");
    assert_eq!(again, found);
    shop.discard().await;
}

#[tokio::test]
async fn a_failing_provider_neither_closes_a_key_nor_gives_money_back() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (request, charged) = charged(&mut payments).await;
    shop.provider.fail_next(2).await;
    let failed = cancel(&mut payments, &request).await.expect_err("told so");
    assert_eq!(reason(&failed), "INJECTED_FAULT");
    let failed = refund(&mut payments, &all_of(&charged)).await;
    assert_eq!(reason(&failed.expect_err("told so")), "INJECTED_FAULT");
    assert_eq!(refunds(&shop).await, 0);
    let closed = cancel(&mut payments, &request).await.expect("it is well");
    assert_eq!(closed.state(), PaymentState::Refunded);
    shop.discard().await;
}

#[tokio::test]
async fn a_decline_waits_for_a_charge_and_befalls_nothing_else() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let (request, _) = charged(&mut payments).await;
    shop.provider.decline_next(1).await;
    let closed = cancel(&mut payments, &request).await.expect("it is well");
    assert_eq!(closed.state(), PaymentState::Refunded);
    let declined = charge(&mut payments, &latte()).await.expect("an answer");
    assert_eq!(declined.state(), PaymentState::Declined);
    shop.discard().await;
}

#[tokio::test]
async fn a_flapping_provider_fails_and_goes_well_in_turn() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let rule = BehaviorRule {
        kind: BehaviorKind::Flap.into(),
        period: prost_types::Duration::try_from(Duration::from_millis(400)).ok(),
        ..Default::default()
    };
    let rules = vec![rule];
    let told = shop.payments_admin_client();
    let told = { told }.set_behavior(SetBehaviorRequest { rules }).await;
    told.expect("the rule is valid");
    for ill in [true, false, true, false] {
        until(&mut payments, ill).await;
    }
    shop.discard().await;
}

/// Until a charge fails, or goes well.
async fn until(payments: &mut Payments, ill: bool) {
    eventually("the provider to change", async || {
        match charge(payments, &latte()).await {
            answer if answer.is_err() == ill => Ok(()),
            answer => Err(answer),
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_command_line_says_is_what_is_in_force() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    command(&shop, "fail --code RESOURCE_EXHAUSTED --next 1").await;
    let failed = charge(&mut payments, &latte()).await.expect_err("told so");
    assert_eq!(failed.code(), Code::ResourceExhausted);
    charge(&mut payments, &latte())
        .await
        .expect("it was the only one");

    command(&shop, "decline --share 0.5").await;
    command(&shop, "slow --latency 5ms --next 3 --also").await;
    let kinds = [BehaviorKind::Latency, BehaviorKind::Decline];
    assert_eq!(kinds_in_force(&shop).await, kinds);
    command(&shop, "flap --period 4s").await;
    assert_eq!(kinds_in_force(&shop).await, [BehaviorKind::Flap]);
    command(&shop, "lose-reply").await;
    assert_eq!(kinds_in_force(&shop).await, [BehaviorKind::LoseReply]);
    command(&shop, "ok --next 2 --also").await;
    let kinds = [BehaviorKind::Ok, BehaviorKind::LoseReply];
    assert_eq!(kinds_in_force(&shop).await, kinds);
    command(&shop, "").await;
    assert_eq!(
        kinds_in_force(&shop).await,
        kinds,
        "looking changes nothing"
    );
    command(&shop, "ok").await;
    assert_eq!(kinds_in_force(&shop).await, []);
    shop.discard().await;
}

#[tokio::test]
async fn a_command_that_makes_no_sense_says_why() {
    let shop = open().await;
    let said = run(&shop, "slow --latency 61s")
        .await
        .expect_err("too long");
    assert!(said.contains("at most 60 s"), "{said}");
    let said = run(&shop, "ok --next 2").await.expect_err("of no effect");
    assert!(said.contains("--also"), "{said}");
    assert_eq!(kinds_in_force(&shop).await, []);
    shop.payments.stop().await.expect("it ends well");
    let said = run(&shop, "fail").await.expect_err("nobody is there");
    assert!(said.contains("shop status"), "{said}");
    shop.discard().await;
}

async fn command(shop: &Shop, words: &str) {
    let done = run(shop, words).await;
    done.unwrap_or_else(|error| panic!("shop payments {words}: {error}"));
}

/// What it says if it fails.
async fn run(shop: &Shop, words: &str) -> Result<(), String> {
    let url = shop.payments.url();
    let fixed = ["shop", "payments", "--payments", url.as_str()];
    let words = fixed.into_iter().chain(words.split_whitespace());
    let command = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    command.run().await.map_err(|error| format!("{error:#}"))
}

async fn kinds_in_force(shop: &Shop) -> Vec<BehaviorKind> {
    let mut admin: Admin = shop.payments_admin_client();
    let answer = admin.get_behavior(GetBehaviorRequest {}).await;
    let rules = answer.expect("it is up").into_inner().rules;
    rules.iter().map(BehaviorRule::kind).collect()
}
