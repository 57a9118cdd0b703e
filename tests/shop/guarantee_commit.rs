//! A COMMIT whose outcome nobody knows is found out, or owned up to.

use crate::{count, open_with, reason, shift};
use proto::reception::v1::{CancelOrderRequest, Order, OrderState, PlaceOrderRequest};
use shop::{
    customers::latte,
    fault::Lost,
    harness::{Options, Shop, eventually},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Nobody else has this name: it tells the order's transaction from all others on the wire.
const NAME: &str = "Commit Tester";
/// What the connection that stores the order says at last.
const COMMITTING: &[&str] = &[NAME, "COMMIT"];

#[tokio::test]
async fn an_order_whose_commit_was_cut_on_the_wire_is_placed_and_charged_once() {
    let shop = open().await;
    for (lost, orders) in [(Lost::Answer, 1), (Lost::Word, 2)] {
        shop.servers.postgres_proxy().cut_at(COMMITTING, lost);
        let (placed, ()) = tokio::join!(shop.try_place(named()), healed(&shop));
        let placed = placed.expect("its outcome is found out");
        shop.until_ready(&placed).await;
        assert_eq!(stored(&shop).await, orders, "{lost:?}");
    }
    // The books know of every charge.
    shop.close().await;
}

#[tokio::test]
async fn a_caller_whose_commit_stays_unknown_is_told_to_ask_again_if_that_is_safe() {
    let shop = open().await;
    for (lost, perhaps, surely) in [(Lost::Answer, 1, 1), (Lost::Word, 1, 2)] {
        shop.servers.postgres_proxy().cut_at(COMMITTING, lost);
        let order = named();
        let unknown = ask(&shop, order.clone()).await.expect_err("nobody knows");
        assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
        assert!(unknown.get_details_retry_info().is_some(), "{unknown:?}");

        shop.servers.postgres_proxy().heal();
        assert_eq!(stored(&shop).await, perhaps, "{lost:?}");
        let again = eventually("an answer", async || ask(&shop, order.clone()).await).await;
        shop.until_ready(&again).await;
        assert_eq!(stored(&shop).await, surely, "{lost:?}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_caller_whose_commit_stays_unknown_is_not_told_to_order_twice() {
    let shop = open().await;
    shop.servers
        .postgres_proxy()
        .cut_at(COMMITTING, Lost::Answer);
    let order = PlaceOrderRequest {
        request_id: String::new(),
        ..named()
    };
    let unknown = ask(&shop, order).await.expect_err("nobody knows");
    assert_eq!(unknown.code(), Code::Unknown, "{unknown:?}");
    assert_eq!(reason(&unknown), "OUTCOME_UNKNOWN");
    assert!(unknown.get_details_retry_info().is_none(), "{unknown:?}");

    shop.servers.postgres_proxy().heal();
    assert_eq!(stored(&shop).await, 1, "an ordinary order");
    shop.close().await;
}

#[tokio::test]
async fn a_wish_to_cancel_whose_commit_was_cut_on_the_wire_is_asked_again_and_kept_once() {
    let shop = open().await;
    shift::occupy(&shop, "espresso").await;
    for (lost, kept) in [(Lost::Answer, 1), (Lost::Word, 0)] {
        let order = shop.place(latte()).await;
        shop.servers.postgres_proxy().cut_at(COMMITTING, lost);
        let unknown = cancel(&shop, &order).await.expect_err("nobody knows");
        assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
        assert!(unknown.get_details_retry_info().is_some(), "{unknown:?}");

        shop.servers.postgres_proxy().heal();
        assert_eq!(wishes(&shop, &order).await, kept, "{lost:?}");
        eventually("an answer", async || cancel(&shop, &order).await).await;
        shop.until(&order, OrderState::Cancelled).await;
        assert_eq!(wishes(&shop, &order).await, 1, "{lost:?}");
    }
    shift::release(&shop).await;
    // The books know of every refund.
    shop.close().await;
}

async fn open() -> Shop {
    open_with(Options {
        postgres_proxy: true,
        ..Options::default()
    })
    .await
}

fn named() -> PlaceOrderRequest {
    PlaceOrderRequest {
        customer_name: NAME.to_owned(),
        ..latte()
    }
}

/// Heals the line once it is cut.
async fn healed(shop: &Shop) {
    let proxy = shop.servers.postgres_proxy();
    let broken = proxy.counts().broken;
    eventually("the line to be cut", async || match proxy.counts() {
        counts if counts.broken > broken => Ok(()),
        counts => Err(counts),
    })
    .await;
    proxy.heal();
}

/// Without a deadline of its own, so that the answer cannot come too late.
async fn ask(shop: &Shop, order: PlaceOrderRequest) -> Result<Order, Status> {
    let answer = shop.reception_client().place_order(order).await?;
    let order = answer.into_inner().order;
    order.ok_or_else(|| Status::internal("the answer holds no order"))
}

async fn stored(shop: &Shop) -> i64 {
    let named = "select count(*) from orders where customer_name = 'Commit Tester'";
    count(&shop.reception_pool(), named).await
}

async fn cancel(shop: &Shop, order: &Order) -> Result<(), Status> {
    let wish = CancelOrderRequest {
        order_id: order.order_id.clone(),
        // Told from all others on the wire.
        reason: NAME.to_owned(),
    };
    shop.reception_client().cancel_order(wish).await.map(drop)
}

/// How often the order's history has it that somebody asked.
async fn wishes(shop: &Shop, order: &Order) -> usize {
    let order = eventually("the order", async || shop.get(&order.order_id).await).await;
    let asked = |detail: &str| detail.starts_with("asked to cancel");
    order.history.iter().filter(|e| asked(&e.detail)).count()
}
