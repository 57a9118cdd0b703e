//! The provider decides a key once, however it is asked and however it misbehaves.

use proto::{
    money::v1::Money,
    payments::v1::{
        self as wire, BehaviorKind, PaymentState, get_payment_request::By,
        payments_admin_service_client::PaymentsAdminServiceClient,
        payments_service_client::PaymentsServiceClient,
    },
};
use shop::harness::{Options, Shop};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;

pub type Payments = PaymentsServiceClient<Channel>;
pub type Admin = PaymentsAdminServiceClient<Channel>;

/// A provider alone: nobody else is asked here, and the books would miss the orders.
pub async fn open() -> Shop {
    let shop = Shop::prepare(Options::default()).await;
    let shop = shop.expect("the databases can be made");
    shop.payments.start().await.expect("payments starts");
    shop
}

#[tokio::test]
async fn twenty_equal_charges_at_once_are_one_payment() {
    let shop = open().await;
    let payments = shop.payments_client();
    for _ in 0..10 {
        let request = latte();
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (mut payments, request) = (payments.clone(), request.clone());
            calls.spawn(async move { charge(&mut payments, &request).await });
        }
        let mut answers = calls.join_all().await.into_iter();
        let first = answers.next().expect("twenty calls were made");
        let first = first.expect("the provider is well");
        assert_eq!(first.state(), PaymentState::Charged);
        for answer in answers {
            assert_eq!(answer.expect("the provider is well"), first);
        }
    }
    shop.discard().await;
}

#[tokio::test]
async fn a_key_is_not_decided_again_for_another_amount_token_or_order() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let request = latte();
    let decided = charge(&mut payments, &request).await.expect("charged");
    let others = [
        wire::ChargeRequest {
            amount: Some(euros(421)),
            ..request.clone()
        },
        wire::ChargeRequest {
            payment_token: "tok_other".to_owned(),
            ..request.clone()
        },
        wire::ChargeRequest {
            order_id: Uuid::now_v7().to_string(),
            ..request.clone()
        },
    ];
    for other in others {
        let refusal = charge(&mut payments, &other)
            .await
            .expect_err("the key is taken");
        assert_eq!(refusal.code(), Code::AlreadyExists);
        assert_eq!(reason(&refusal), "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(
        find(&mut payments, &request).await.expect("it is there"),
        decided
    );
    shop.discard().await;
}

#[tokio::test]
async fn a_decline_is_remembered_when_the_provider_would_charge_again() {
    let shop = open().await;
    let (mut payments, mut admin) = (shop.payments_client(), shop.payments_admin_client());
    let request = latte();
    next_call(&mut admin, BehaviorKind::Decline).await;
    for _ in 0..2 {
        let payment = charge(&mut payments, &request)
            .await
            .expect("declined, which is an answer");
        assert_eq!(payment.state(), PaymentState::Declined);
        assert_eq!(payment.decline_reason, "insufficient_funds");
    }
    shop.discard().await;
}

#[tokio::test]
async fn a_provider_that_fails_has_decided_nothing() {
    let shop = open().await;
    let (mut payments, mut admin) = (shop.payments_client(), shop.payments_admin_client());
    let request = latte();
    next_call(&mut admin, BehaviorKind::Fail).await;
    let failure = charge(&mut payments, &request)
        .await
        .expect_err("told to fail");
    assert_eq!(
        (failure.code(), reason(&failure).as_str()),
        (Code::Unavailable, "INJECTED_FAULT")
    );
    let absence = find(&mut payments, &request)
        .await
        .expect_err("nothing is decided");
    assert_eq!(absence.code(), Code::NotFound);
    let resource = absence
        .get_details_resource_info()
        .expect("it says what is not there");
    assert_eq!(resource.resource_name, request.idempotency_key);
    charge(&mut payments, &request)
        .await
        .expect("the next call decides");
    shop.discard().await;
}

#[tokio::test]
async fn a_charge_whose_reply_was_lost_is_found_by_asking_again() {
    let shop = open().await;
    let (mut payments, mut admin) = (shop.payments_client(), shop.payments_admin_client());
    let request = latte();
    next_call(&mut admin, BehaviorKind::LoseReply).await;
    let failure = charge(&mut payments, &request)
        .await
        .expect_err("the reply was lost");
    assert_eq!(failure.code(), Code::Unavailable);
    let decided = find(&mut payments, &request)
        .await
        .expect("it is charged all the same");
    let again = charge(&mut payments, &request)
        .await
        .expect("the provider is well again");
    assert_eq!(again, decided);
    shop.discard().await;
}

#[tokio::test]
async fn payments_are_listed_page_by_page_newest_first() {
    let shop = open().await;
    let mut payments = shop.payments_client();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, charge(&mut payments, &latte()).await.expect("charged"));
    }
    let mut listed = Vec::new();
    let mut request = wire::ListPaymentsRequest {
        page_size: 2,
        ..Default::default()
    };
    while listed.len() < made.len() {
        let page = payments
            .list_payments(request.clone())
            .await
            .expect("a page")
            .into_inner();
        listed.extend(page.payments);
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed[..made.len()], made);
    shop.discard().await;
}

pub fn latte() -> wire::ChargeRequest {
    let order_id = Uuid::now_v7().to_string();
    wire::ChargeRequest {
        idempotency_key: order_id.clone(),
        amount: Some(euros(420)),
        payment_token: "tok_visa".to_owned(),
        order_id,
    }
}

pub fn euros(amount_minor: i64) -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        amount_minor,
    }
}

pub async fn charge(
    payments: &mut Payments,
    request: &wire::ChargeRequest,
) -> Result<wire::Payment, Status> {
    let response = payments.charge(request.clone()).await?.into_inner();
    Ok(response.payment.expect("an answer holds its payment"))
}

pub async fn find(
    payments: &mut Payments,
    request: &wire::ChargeRequest,
) -> Result<wire::Payment, Status> {
    let by = Some(By::IdempotencyKey(request.idempotency_key.clone()));
    let response = payments.get_payment(wire::GetPaymentRequest { by }).await?;
    Ok(response
        .into_inner()
        .payment
        .expect("an answer holds its payment"))
}

async fn next_call(admin: &mut Admin, kind: BehaviorKind) {
    let rule = wire::BehaviorRule {
        kind: kind.into(),
        remaining_calls: 1,
        ..Default::default()
    };
    let request = wire::SetBehaviorRequest { rules: vec![rule] };
    admin
        .set_behavior(request)
        .await
        .expect("the rule is valid");
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .expect("every error has one")
        .reason
}
