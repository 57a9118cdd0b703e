//! A charge that is undecided is no error: the order is acknowledged, and settled later, once.

use crate::{count, money_back::one_try};
use proto::reception::v1::{Order, OrderState};
use reception::store::owed;
use shop::{
    customers::latte,
    harness::{Options, Shop},
    services::Service,
};
use std::time::{Duration, Instant};
use tonic::Code;
use tonic_types::StatusExt as _;

/// How often a charge is tried while the customer waits.
const TRIES: i64 = 3;

#[tokio::test]
async fn an_order_whose_charge_failed_is_charged_later() {
    let shop = crate::open().await;
    shop.provider.fail_next(TRIES).await;
    let order = place_undecided(&shop).await;
    shop.until_ready(&order).await;
    assert_eq!(payments(&shop).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_charge_was_never_answered_is_charged_once() {
    let shop = crate::open().await;
    shop.provider.lose_next_replies(TRIES).await;
    let order = place_undecided(&shop).await;
    assert_eq!(
        payments(&shop).await,
        1,
        "the replies were lost, not the charge"
    );
    shop.until_ready(&order).await;
    assert_eq!(payments(&shop).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_charge_takes_too_long_is_answered_in_time_and_charged_once() {
    let impatient = Options::default().with(Service::Reception, "CHARGE_TIMEOUT", "300ms");
    let shop = crate::open_with(impatient).await;
    shop.provider.delay_next(1, Duration::from_secs(2)).await;
    let begun = Instant::now();
    let order = place_undecided(&shop).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    shop.until_ready(&order).await;
    assert_eq!(payments(&shop).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn orders_placed_while_payments_is_away_are_charged_when_it_is_back() {
    let shop = crate::open().await;
    shop.payments.stop().await.expect("it ends well");
    let orders = [place_undecided(&shop).await, place_undecided(&shop).await];
    shop.payments.start().await.expect("it starts again");
    for order in &orders {
        shop.until_ready(order).await;
    }
    assert_eq!(payments(&shop).await, 2);
    shop.close().await;
}

#[tokio::test]
async fn what_one_sweeper_has_taken_no_other_takes_until_its_next_try_is_due() {
    let shop = crate::open().await;
    shop.payments.stop().await.expect("it ends well");
    for _ in 0..20 {
        place_undecided(&shop).await;
    }
    shop.reception.stop().await.expect("it ends well");
    let due = "update orders set settle_time = now(), settle_attempts = 0";
    let due = sqlx::query(due).execute(&shop.reception_pool()).await;
    due.expect("the database is up");
    let (one, other) = tokio::join!(claim(&shop), claim(&shop));
    assert_eq!(one + other, 20);
    assert_eq!(claim(&shop).await, 0, "the next try is due in a minute");
    let early = "select count(*) from orders where settle_time < create_time + interval '1 minute'";
    assert_eq!(count(&shop.reception_pool(), early).await, 0);
    let due = "update orders set settle_time = now()";
    let due = sqlx::query(due).execute(&shop.reception_pool()).await;
    due.expect("the database is up");
    shop.payments.start().await.expect("it starts again");
    shop.reception.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn while_one_sweeper_waits_for_a_slow_answer_no_other_asks() {
    let slow = one_try().with(Service::Reception, "CHARGE_TIMEOUT", "20s");
    let shop = crate::open_with(slow).await;
    let second = crate::second(&shop.reception).await;
    shop.provider.fail_next(1).await;
    let order = place_undecided(&shop).await;
    shop.provider.delay_next(10, Duration::from_secs(6)).await;
    shop.until_ready(&order).await;
    assert_eq!(shop.provider.calls_left().await, 9, "one has asked");
    shop.provider.recover().await;
    second.stop().await.expect("it ends well");
    shop.close().await;
}

#[tokio::test]
async fn a_decline_that_comes_late_ends_the_order() {
    let shop = crate::open().await;
    shop.provider.fail_next(TRIES).await;
    let mut request = latte();
    request.payment_token = "tok_declined".to_owned();
    let order = shop.place(request.clone()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    shop.until(&order, OrderState::Declined).await;
    let repeated = shop.try_place(request).await.expect_err("it was declined");
    assert_eq!(repeated.code(), Code::FailedPrecondition);
    shop.close().await;
}

#[tokio::test]
async fn without_its_database_reception_says_so_soon_and_stores_nothing() {
    let shop = crate::open_with(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let request = latte();
    shop.servers.postgres.kill9().await.expect("it was running");
    // Connections that were open break at the first call, which may find out later.
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = shop
            .try_place(request.clone())
            .await
            .expect_err("nothing can be stored");
        // Half a second to wait for a connection; the rest is for a machine that is busy.
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(
            refused.get_details_retry_info().is_some(),
            "a retry is safe"
        );
    }
    shop.servers
        .postgres
        .restart()
        .await
        .expect("it starts again");
    assert_eq!(payments(&shop).await, 0);
    let placed = shop.place(request).await;
    shop.until_ready(&placed).await;
    let books = shop.books(true).await.expect("the databases are up");
    assert_eq!(books.summary.charges, 1);
    shop.close().await;
}

async fn place_undecided(shop: &Shop) -> Order {
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    order
}

/// How many orders a sweeper takes.
async fn claim(shop: &Shop) -> usize {
    let mut conn = shop.reception_pool().acquire().await.expect("it is up");
    let taken = owed::claim(&mut conn, 15, Duration::from_secs(60)).await;
    taken.expect("the database is up").len()
}

/// How many payments the provider has decided.
async fn payments(shop: &Shop) -> i64 {
    count(&shop.payments_pool(), "select count(*) from payments").await
}
