//! An order that is over ends its stream, however it ended, and not before nothing is owed.

use crate::watching::{next, watch_order};
use proto::reception::v1::{
    CancelOrderRequest, CollectOrderRequest, Order,
    OrderState::{self, Cancelled, Collected, Declined, Failed},
    RefundState::{self, Done, NotNeeded},
};
use shop::{
    customers::{espresso, latte},
    harness::Shop,
};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn an_order_that_is_over_ends_its_stream_however_it_ended() {
    let shop = crate::open().await;
    let ends: [(Vec<Order>, OrderState, RefundState); 4] = [
        (collected(&shop).await, Collected, NotNeeded),
        (declined(&shop).await, Declined, NotNeeded),
        (failed(&shop).await, Failed, Done),
        (cancelled(&shop).await, Cancelled, NotNeeded),
    ];
    for (told, state, refund) in ends {
        let last = told.last().expect("the end is told");
        assert_eq!((last.state(), last.refund_state()), (state, refund));
        assert!(
            told.is_sorted_by(|a, b| a.revision < b.revision),
            "{told:?}"
        );

        // Whoever comes later is told once, or, knowing it, nothing.
        let (order_id, revision) = (&last.order_id, last.revision);
        assert_eq!(until_it_ends(&shop, order_id, 0).await, [last.clone()]);
        assert_eq!(until_it_ends(&shop, order_id, revision).await, []);
    }
    shop.close().await;
}

async fn collected(shop: &Shop) -> Vec<Order> {
    let order = shop.place(espresso()).await;
    let mut watching = watch_order(&shop.reception, &order.order_id, 0).await;
    let mut told = Vec::new();
    while let Some(order) = next(&mut watching).await.expect("it is well") {
        if order.state() == OrderState::Ready {
            let order_id = order.order_id.clone();
            let collect = CollectOrderRequest { order_id };
            let collected = shop.reception_client().collect_order(collect).await;
            collected.expect("it is READY");
        }
        told.push(order);
    }
    told
}

async fn declined(shop: &Shop) -> Vec<Order> {
    let mut request = latte();
    request.payment_token = "tok_declined".to_owned();
    let refused = shop.try_place(request).await.expect_err("it is declined");
    let info = refused.get_details_error_info().expect("it has one");
    until_it_ends(shop, &info.metadata["order_id"], 0).await
}

/// Nobody knows how to make it, and its money goes back.
async fn failed(shop: &Shop) -> Vec<Order> {
    let withdrawn = "delete from recipes where drink = 'latte' and size = 'large'";
    let withdrawn = sqlx::query(withdrawn).execute(&shop.barista_pool()).await;
    withdrawn.expect("it is up");
    let order = shop.place(latte()).await;
    until_it_ends(shop, &order.order_id, 0).await
}

/// Before it was known to be paid: its key has to be closed.
async fn cancelled(shop: &Shop) -> Vec<Order> {
    shop.provider.fail_next(i64::from(u16::MAX)).await;
    let order_id = shop.place(espresso()).await.order_id;
    let cancel = CancelOrderRequest {
        order_id: order_id.clone(),
        ..Default::default()
    };
    let cancelled = shop.reception_client().cancel_order(cancel).await;
    let order = cancelled.expect("it is not paid").into_inner().order;
    let order = order.expect("the answer holds it");
    assert_eq!(
        (order.state(), order.refund_state()),
        (Cancelled, RefundState::Pending)
    );
    let mut watching = watch_order(&shop.reception, &order_id, 0).await;
    let owed = next(&mut watching).await.expect("it is well");
    let mut told = vec![owed.expect("it is over, and something is owed")];
    shop.provider.recover().await;
    while let Some(order) = next(&mut watching).await.expect("it is well") {
        told.push(order);
    }
    told
}

async fn until_it_ends(shop: &Shop, order_id: &str, after: i64) -> Vec<Order> {
    let mut watching = watch_order(&shop.reception, order_id, after).await;
    let mut told = Vec::new();
    while let Some(order) = next(&mut watching).await.expect("it is well") {
        told.push(order);
    }
    told
}
