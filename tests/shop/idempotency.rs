//! A request that is repeated is the same order: placed once, charged once.

use crate::{count, reason};
use proto::reception::v1::{OrderState, PlaceOrderRequest};
use shop::{
    customers::{item, latte},
    harness::Shop,
};
use std::collections::HashSet;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn an_order_placed_twice_is_one_order_charged_once() {
    let shop = crate::open().await;
    let request = latte();
    let first = shop.place(request.clone()).await;
    shop.until_ready(&first).await;
    let again = shop.place(request).await;
    assert_eq!(again.order_id, first.order_id);
    assert_eq!(again.state(), OrderState::Ready, "the order as it is now");
    assert_eq!(orders_and_payments(&shop).await, (1, 1));
    shop.close().await;
}

#[tokio::test]
async fn twenty_equal_requests_at_once_are_one_order_charged_once() {
    let shop = crate::open().await;
    let request = latte();
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (customer, request) = (shop.customer(), request.clone());
        calls.spawn(async move { customer.place(request).await });
    }
    let answers = calls.join_all().await.into_iter();
    let ids: HashSet<String> = answers
        .map(|answer| answer.expect("each is acknowledged").order_id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(orders_and_payments(&shop).await, (1, 1));
    shop.close().await;
}

#[tokio::test]
async fn requests_without_an_id_are_orders_of_their_own() {
    let shop = crate::open().await;
    let request = PlaceOrderRequest {
        request_id: String::new(),
        ..latte()
    };
    let (one, other) = (shop.place(request.clone()).await, shop.place(request).await);
    assert_ne!(one.order_id, other.order_id);
    shop.close().await;
}

#[tokio::test]
async fn a_request_id_is_not_taken_for_another_body() {
    let shop = crate::open().await;
    let request = latte();
    shop.place(request.clone()).await;
    let others = [
        PlaceOrderRequest {
            customer_name: "Bob".to_owned(),
            ..request.clone()
        },
        PlaceOrderRequest {
            items: vec![item("latte", "large", 2)],
            ..request.clone()
        },
        PlaceOrderRequest {
            payment_token: "tok_other".to_owned(),
            ..request
        },
    ];
    for other in others {
        let refused = shop
            .try_place(other)
            .await
            .expect_err("it is another order");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::AlreadyExists, "REQUEST_ID_REUSED".into())
        );
    }
    assert_eq!(orders_and_payments(&shop).await, (1, 1));
    shop.close().await;
}

#[tokio::test]
async fn a_decline_is_repeated_and_decides_nothing_anew() {
    let shop = crate::open().await;
    let request = latte();
    shop.provider.decline_next(1).await;
    let first = shop
        .try_place(request.clone())
        .await
        .expect_err("it is declined");
    let again = shop.try_place(request).await.expect_err("it was declined");
    for declined in [&first, &again] {
        assert_eq!(declined.code(), Code::FailedPrecondition);
        assert_eq!(reason(declined), "PAYMENT_DECLINED");
    }
    assert_eq!(metadata(&first, "order_id"), metadata(&again, "order_id"));
    assert!(!metadata(&again, "decline_reason").is_empty());
    let order = shop
        .get(&metadata(&again, "order_id"))
        .await
        .expect("it is stored");
    assert_eq!(order.state(), OrderState::Declined);
    assert_eq!(orders_and_payments(&shop).await, (1, 1));
    shop.close().await;
}

/// How many of each are stored.
async fn orders_and_payments(shop: &Shop) -> (i64, i64) {
    let orders = count(&shop.reception_pool(), "select count(*) from orders").await;
    (
        orders,
        count(&shop.payments_pool(), "select count(*) from payments").await,
    )
}

fn metadata(status: &Status, key: &str) -> String {
    let info = status
        .get_details_error_info()
        .expect("every error has ErrorInfo");
    info.metadata.get(key).cloned().unwrap_or_default()
}
