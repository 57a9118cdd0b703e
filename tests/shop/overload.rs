//! Calls beyond what can be answered in time are refused at the door, and those inside keep theirs.

use crate::{count, open_with, reason};
use proto::reception::v1::{Order, PlaceOrderRequest};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// How many calls are answered at a time.
const PLACES: i64 = 4;
/// How many more come.
const BEYOND: usize = 20;
/// Nobody else has this name.
const BEYOND_NAME: &str = "Beyond Thedoor";
/// Longer than any of these calls may need: whoever is refused meanwhile did not wait for a place.
const LONG: Duration = Duration::from_secs(50);

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_and_nothing_of_them_is_begun() {
    let shop = open().await;
    let mut inside = until_full(&shop, Duration::from_secs(4)).await;
    for _ in 0..BEYOND {
        let refused = ask(&shop, beyond()).await.expect_err("there is no place");
        assert_refused(&refused);
    }
    assert!(
        inside.try_join_next().is_none(),
        "nobody waited for a place"
    );
    for order in inside.join_all().await {
        shop.until_ready(&order.expect("it was inside")).await;
    }
    assert_eq!(stored_beyond(&shop).await, 0);
    assert_eq!(payments(&shop).await, PLACES);
    shop.close().await;
}

#[tokio::test]
async fn a_refused_call_that_is_sent_again_finds_the_place_that_became_free() {
    let shop = open().await;
    let inside = until_full(&shop, Duration::from_secs(2)).await;
    let request = beyond();
    assert_refused(&ask(&shop, request.clone()).await.expect_err("it is full"));
    inside.join_all().await;
    let order = ask(&shop, request).await.expect("there is a place");
    shop.until_ready(&order).await;
    assert_eq!(stored_beyond(&shop).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_makes_room() {
    let shop = open().await;
    let begun = Instant::now();
    let mut inside = until_full(&shop, LONG).await;
    assert_refused(&ask(&shop, beyond()).await.expect_err("it is full"));
    inside.shutdown().await;
    let order = eventually("a place", async || ask(&shop, latte()).await).await;
    assert!(begun.elapsed() < LONG, "it was not given free, it ran out");
    shop.until_ready(&order).await;
    // Theirs were stored before they left: ordinary orders. The sweeper leaves them to their
    // calls for as long as those might have waited.
    let due = "update orders set settle_time = now() where state = 'AWAITING_PAYMENT'";
    let due = sqlx::query(due).execute(&shop.reception_pool()).await;
    due.expect("the database is up");
    shop.until_idle().await;
    assert_eq!(payments(&shop).await, PLACES + 1);
    shop.close().await;
}

/// A shop with few places, which waits for its provider for longer than any test takes.
async fn open() -> Shop {
    let options = Options::default()
        .with(Service::Reception, "MAX_PLACING", PLACES.to_string())
        .with(Service::Reception, "CHARGE_TIMEOUT", "60s");
    open_with(options).await
}

/// As many calls as there are places, each with the provider for so long.
async fn until_full(shop: &Shop, latency: Duration) -> JoinSet<Result<Order, Status>> {
    shop.provider.delay_next(PLACES, latency).await;
    let mut inside = JoinSet::new();
    for _ in 0..PLACES {
        inside.spawn(ask(shop, latte()));
    }
    eventually("all places to be taken", async || {
        match shop.provider.calls_left().await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    inside
}

/// With more patience than the provider needs: nobody is inside, or leaves, because time is over.
fn ask(
    shop: &Shop,
    order: PlaceOrderRequest,
) -> impl Future<Output = Result<Order, Status>> + Send + use<> {
    let mut client = shop.reception_client();
    let mut request = Request::new(order);
    request.set_timeout(2 * LONG);
    async move {
        let order = client.place_order(request).await?.into_inner().order;
        order.ok_or_else(|| Status::internal("the answer holds no order"))
    }
}

fn assert_refused(refused: &Status) {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(reason(refused), "OVERLOADED");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
}

fn beyond() -> PlaceOrderRequest {
    PlaceOrderRequest {
        customer_name: BEYOND_NAME.to_owned(),
        ..latte()
    }
}

async fn stored_beyond(shop: &Shop) -> i64 {
    let stored = "select count(*) from orders where customer_name = 'Beyond Thedoor'";
    count(&shop.reception_pool(), stored).await
}

/// How many payments the provider has decided.
async fn payments(shop: &Shop) -> i64 {
    count(&shop.payments_pool(), "select count(*) from payments").await
}
