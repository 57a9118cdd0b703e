//! Whatever dies, every acknowledged order is made once and charged once.
//!
//! Processes are killed with SIGKILL while customers order: nobody gets to say goodbye.

use crate::count;
use proto::reception::v1::PlaceOrderRequest;
use shop::{
    customers::{espresso, item, latte},
    harness::{Options, Shop, eventually, patience},
    services::Service,
};
use std::time::Duration;
use tokio::{task::JoinSet, time::sleep};

const CUSTOMERS: usize = 5;
const ORDERS_EACH: usize = 40;
const ORDERS: usize = CUSTOMERS * ORDERS_EACH;
/// What a customer takes between two orders: it leaves time to kill somebody in the middle.
const PAUSE: Duration = Duration::from_millis(30);

#[tokio::test]
async fn two_hundred_orders_survive_kill_9_of_the_barista_reception_and_kafka() {
    let options = Options {
        own_servers: true,
        processes: true,
        ..Options::default()
    };
    // Long enough that drinks are in somebody's hands most of the time.
    let options = options.with(Service::Barista, "BREW_SCALE", "0.03");
    let shop = crate::open_with(options).await;
    let customers = customers(&shop);

    until_brewing(&shop).await;
    shop.barista.kill9().await.expect("it was running");
    shop.barista.launch().await.expect("it starts again");

    until_acknowledged(&shop, 2 * ORDERS / 5).await;
    shop.reception.kill9().await.expect("it was running");
    shop.reception.launch().await.expect("it starts again");

    until_acknowledged(&shop, 3 * ORDERS / 5).await;
    assert!(
        !shop.history.errors().is_empty(),
        "customers noticed that reception was away"
    );
    shop.servers.kafka.kill9().await.expect("it was running");
    until_acknowledged(&shop, 4 * ORDERS / 5).await;
    shop.servers.kafka.restart().await.expect("it starts again");

    customers.join_all().await;
    shop.until_idle().await;
    assert!(
        taken_over(&shop).await > 0,
        "the barista died with drinks in hand"
    );
    let books = shop.books(true).await.expect("the databases are up");
    let ready = ("READY".to_owned(), ORDERS);
    assert!(books.summary.orders.contains(&ready), "{books}");
    assert_eq!(books.summary.drinks_booked, 2 * ORDERS);
    assert_eq!(books.summary.charges, ORDERS);
    shop.close().await;
}

/// Customers who order one after another, and repeat a request until it is answered.
fn customers(shop: &Shop) -> JoinSet<()> {
    let mut customers = JoinSet::new();
    for _ in 0..CUSTOMERS {
        let customer = shop.customer();
        customers.spawn(async move {
            for _ in 0..ORDERS_EACH {
                let placed = customer.place_patiently(two_drinks(), patience()).await;
                placed.unwrap_or_else(|status| panic!("an order was not acknowledged: {status:?}"));
                sleep(PAUSE).await;
            }
        });
    }
    customers
}

fn two_drinks() -> PlaceOrderRequest {
    PlaceOrderRequest {
        items: vec![item("tea", "small", 1), item("latte", "large", 1)],
        ..espresso()
    }
}

async fn until_acknowledged(shop: &Shop, orders: usize) {
    eventually("customers to be served", async || {
        match shop.history.acknowledged().len() {
            acknowledged if acknowledged >= orders => Ok(()),
            acknowledged => Err(acknowledged),
        }
    })
    .await;
}

async fn until_brewing(shop: &Shop) {
    let in_hand = "select count(*) from drinks where state = 'BREWING'";
    eventually("baristas to have their hands full", async || {
        match count(&shop.barista_pool(), in_hand).await {
            3.. => Ok(()),
            in_hand => Err(in_hand),
        }
    })
    .await;
}

/// Drinks that were begun more than once.
async fn taken_over(shop: &Shop) -> i64 {
    count(
        &shop.barista_pool(),
        "select count(*) from drinks where attempt > 1",
    )
    .await
}

#[tokio::test]
async fn a_shop_whose_postgres_is_killed_goes_on_where_it_was() {
    let options = Options {
        own_servers: true,
        ..Options::default()
    };
    let options = options.with(Service::Barista, "BREW_SCALE", "0.5");
    let shop = crate::open_with(options).await;
    let order = shop.place(latte()).await;
    shop.servers.postgres.kill9().await.expect("it was running");
    shop.servers
        .postgres
        .restart()
        .await
        .expect("it starts again");
    shop.until_ready(&order).await;
    shop.close().await;
}
