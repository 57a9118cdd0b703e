//! Whatever is lost on the way or restored from an old copy, every paid order is made once.
//!
//! What was said is taken away for good here: by wiping Kafka, by deleting what a retention would have
//! deleted, or by restoring a database from a copy that knows less than the other side.

use crate::{count, shift};
use messaging::outbox::Waker;
use proto::reception::v1::{Order, OrderState, PlaceOrderRequest};
use reception::reconcile::{self, Asked, Reconciler};
use shop::{
    books::Rule,
    customers::{espresso, item, latte},
    harness::{Options, Shop, UNSENT, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::{collections::BTreeSet, time::Duration};

/// A shop that asks after its orders soon.
fn impatient() -> Options {
    Options::default().with(Service::Reception, "RECONCILE_AFTER", "300ms")
}

/// The same with servers of its own.
fn impatient_with_own_servers() -> Options {
    Options {
        own_servers: true,
        ..impatient()
    }
}

#[tokio::test]
async fn paid_orders_whose_events_are_wiped_with_all_of_kafka_are_made_once() {
    let shop = crate::open_with(impatient_with_own_servers()).await;
    shop.until_ready(&shop.place(latte()).await).await;
    shop.barista.stop().await.expect("it ends well");
    let orders = place_paid(&shop, 5).await;
    until_published(&shop.reception_pool()).await;
    shop.servers.wipe_kafka().await.expect("it starts again");
    // Nobody but the relay is there to notice that the topic is gone.
    until_published(&shop.reception_pool()).await;
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn what_the_barista_said_in_a_kafka_that_is_wiped_is_said_again() {
    let shop = crate::open_with(impatient_with_own_servers()).await;
    shop.until_ready(&shop.place(latte()).await).await;
    let orders = make_while_reception_is_away(&shop).await;
    shop.servers.wipe_kafka().await.expect("it starts again");
    shop.reception.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn services_that_outlive_their_kafka_go_on_with_the_next_one() {
    let shop = crate::open_with(impatient_with_own_servers()).await;
    shop.until_ready(&shop.place(latte()).await).await;
    let during = shop.place(latte()).await;
    shop.servers.wipe_kafka().await.expect("it starts again");
    let after = shop.place(latte()).await;
    until_all_ready(&shop, &[during, after]).await;
    shop.close().await;
}

#[tokio::test]
async fn a_barista_that_is_away_for_longer_than_kafka_remembers_makes_every_order_once() {
    let shop = crate::open_with(impatient()).await;
    shop.barista.stop().await.expect("it ends well");
    let orders = place_paid(&shop, 5).await;
    until_published(&shop.reception_pool()).await;
    shop.expire_messages(&shop.orders_topic()).await;
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn a_reception_that_is_away_for_longer_than_kafka_remembers_hears_of_every_order() {
    let shop = crate::open_with(impatient()).await;
    let orders = make_while_reception_is_away(&shop).await;
    shop.expire_messages(&shop.tickets_topic()).await;
    shop.reception.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn a_reception_restored_from_an_old_copy_finds_out_what_became_of_its_orders() {
    let shop = crate::open_with(impatient()).await;
    shop.barista.stop().await.expect("it ends well");
    let paid = place_paid(&shop, 1).await;
    shop.payments.stop().await.expect("it ends well");
    let undecided = shop.place(latte()).await;
    assert_eq!(undecided.state(), OrderState::AwaitingPayment);
    shop.reception.stop().await.expect("it ends well");
    shop.copy_database(Service::Reception).await;
    start_all(&shop).await;
    let orders = [paid, vec![undecided]].concat();
    until_all_ready(&shop, &orders).await;
    // Now it forgets that the one was charged, and that both were made.
    shop.reception.stop().await.expect("it ends well");
    shop.restore_database(Service::Reception).await;
    shop.reception.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_a_restored_reception_does_not_know_is_made_and_comes_to_light() {
    let shop = crate::open_with(impatient()).await;
    shop.until_ready(&shop.place(latte()).await).await;
    shop.until_idle().await;
    shop.reception.stop().await.expect("it ends well");
    shop.copy_database(Service::Reception).await;
    shop.reception.start().await.expect("it starts again");
    shop.barista.stop().await.expect("it ends well");
    let forgotten = place_paid(&shop, 1).await.remove(0);
    until_published(&shop.reception_pool()).await;
    shop.reception.stop().await.expect("it ends well");
    shop.restore_database(Service::Reception).await;
    start_all(&shop).await;
    until_parked(&shop, &format!("there is no order {}", forgotten.order_id)).await;
    let books = shop.books(true).await.expect("the databases are up");
    let found: BTreeSet<Rule> = books.findings.iter().map(|finding| finding.rule).collect();
    let all_of_it = [Rule::Lost, Rule::MadeUnpaid, Rule::ChargedForNothing];
    assert_eq!(found, BTreeSet::from(all_of_it), "{books}");
    assert!(
        books
            .findings
            .iter()
            .all(|finding| finding.order_id.to_string() == forgotten.order_id),
        "{books}"
    );
    shop.discard().await;
}

#[tokio::test]
async fn a_barista_restored_from_an_old_copy_makes_what_its_book_does_not_know() {
    let shop = crate::open_with(impatient()).await;
    shift::occupy(&shop, "espresso").await;
    let queued = place_paid(&shop, 1).await;
    until_tickets(&shop, 1).await;
    shop.barista.stop().await.expect("it ends well");
    shop.copy_database(Service::Barista).await;
    shop.barista.start().await.expect("it starts again");
    let forgotten = begin_orders(&shop).await;
    shop.barista.stop().await.expect("it ends well");
    shop.restore_database(Service::Barista).await;
    shift::release(&shop).await;
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &[queued, forgotten].concat()).await;
    shop.close().await;
}

#[tokio::test]
async fn a_barista_whose_database_is_wiped_makes_every_paid_order() {
    let shop = Shop::prepare(impatient())
        .await
        .expect("databases and topics can be made");
    shop.copy_database(Service::Barista).await;
    start_all(&shop).await;
    shift::occupy(&shop, "espresso").await;
    let forgotten = begin_orders(&shop).await;
    shop.barista.stop().await.expect("it ends well");
    shop.restore_database(Service::Barista).await;
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &forgotten).await;
    shop.close().await;
}

#[tokio::test]
async fn two_receptions_ask_after_each_order_once() {
    const ORDERS: usize = 40;
    let shop = crate::open().await;
    shop.barista.stop().await.expect("it ends well");
    let orders = place_paid(&shop, ORDERS).await;
    until_published(&shop.reception_pool()).await;
    pass_time(&shop, "1 hour").await;
    let (one, other) = (reconciler(&shop), reconciler(&shop));
    let mut asked = 0;
    eventually("all orders to be asked after", async || {
        let (one, other) = tokio::join!(one.ask(), other.ask());
        for asked_now in [one, other] {
            let Asked { overdue, announced } = asked_now.expect("the database is up");
            assert_eq!(overdue, announced, "the relay is not behind");
            asked += announced;
        }
        if asked >= ORDERS { Ok(()) } else { Err(asked) }
    })
    .await;
    assert_eq!(asked, ORDERS, "each by one of them");
    assert_eq!(questions(&shop).await, ORDERS);
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_asked_after_ever_more_rarely() {
    let shop = crate::open().await;
    shop.barista.stop().await.expect("it ends well");
    let order = place_paid(&shop, 1).await;
    let reconciler = reconciler(&shop);
    let mut asked = 0;
    for _ in 0..(24 * 6) {
        pass_time(&shop, "10 minutes").await;
        until_published(&shop.reception_pool()).await;
        asked += reconciler
            .ask()
            .await
            .expect("the database is up")
            .announced;
    }
    assert!((15..30).contains(&asked), "{asked} questions in a day");
    shop.barista.start().await.expect("it starts again");
    until_all_ready(&shop, &order).await;
    shop.close().await;
}

#[tokio::test]
async fn an_outage_of_kafka_does_not_multiply_what_waits_in_the_outbox() {
    let nowhere = Options::default().with(Service::Reception, "KAFKA_BROKERS", "127.0.0.1:1");
    let shop = crate::open_with(nowhere).await;
    place_paid(&shop, 3).await;
    pass_time(&shop, "1 hour").await;
    let asked = reconciler(&shop).ask().await.expect("the database is up");
    assert_eq!((asked.overdue, asked.announced), (3, 0));
    assert_eq!(questions(&shop).await, 0, "the first word is still unsaid");
    shop.discard().await;
}

/// Places orders, which nobody has begun to make when they are answered.
async fn place_paid(shop: &Shop, orders: usize) -> Vec<Order> {
    let mut placed = Vec::new();
    for _ in 0..orders {
        placed.push(shop.place(latte()).await);
    }
    assert!(placed.iter().all(|order| order.state() == OrderState::Paid));
    placed
}

/// Orders that are made and told of while nobody at reception listens.
async fn make_while_reception_is_away(shop: &Shop) -> Vec<Order> {
    shop.barista.stop().await.expect("it ends well");
    let orders = place_paid(shop, 5).await;
    until_published(&shop.reception_pool()).await;
    shop.reception.stop().await.expect("it ends well");
    shop.barista.start().await.expect("it starts again");
    let left = "select count(*) from tickets where state <> 'READY'";
    let made = "select count(*) from tickets where state = 'READY'";
    eventually("the orders to be made", async || {
        let pool = shop.barista_pool();
        match (count(&pool, left).await, count(&pool, made).await) {
            (0, 5..) => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
    until_published(&shop.barista_pool()).await;
    orders
}

/// An order that is PAID and one that is PREPARING, and can get no further for now.
async fn begin_orders(shop: &Shop) -> Vec<Order> {
    let waiting = shop.place(latte()).await;
    let begun = shop.place(tea_and_latte()).await;
    let begun = shop.until(&begun, OrderState::Preparing).await;
    vec![waiting, begun]
}

fn tea_and_latte() -> PlaceOrderRequest {
    PlaceOrderRequest {
        items: vec![item("tea", "small", 1), item("latte", "large", 1)],
        ..espresso()
    }
}

async fn start_all(shop: &Shop) {
    for service in Service::ALL {
        // Some of them run.
        shop.service(service).stop().await.expect("it ends well");
        shop.service(service).start().await.expect("it starts");
    }
}

async fn until_all_ready(shop: &Shop, orders: &[Order]) {
    for order in orders {
        shop.until_ready(order).await;
    }
}

/// Waits until Kafka has everything that is in the outbox: until then nothing of it can get lost.
async fn until_published(pool: &PgPool) {
    eventually("everything to be published", async || {
        match count(pool, UNSENT).await {
            0 => Ok(()),
            unsent => Err(unsent),
        }
    })
    .await;
}

async fn until_tickets(shop: &Shop, tickets: i64) {
    eventually("tickets to be queued", async || {
        match count(&shop.barista_pool(), "select count(*) from tickets").await {
            queued if queued == tickets => Ok(()),
            queued => Err(queued),
        }
    })
    .await;
}

async fn until_parked(shop: &Shop, reason: &str) {
    eventually("a message to be parked", async || {
        let reasons: Vec<String> = sqlx::query_scalar("select reason from dead_letters")
            .fetch_all(&shop.reception_pool())
            .await
            .expect("the database is up");
        match reasons.iter().any(|parked| parked == reason) {
            true => Ok(()),
            false => Err(reasons),
        }
    })
    .await;
}

/// Another reception's reconciler on the same database, called by the test.
fn reconciler(shop: &Shop) -> Reconciler {
    let reconcile_after = Duration::from_secs(5 * 60);
    let options = reconcile::Options { reconcile_after };
    Reconciler::new(shop.reception_pool(), Waker::new(), options)
}

/// Makes everything that is known of orders older.
async fn pass_time(shop: &Shop, interval: &str) {
    let mut tx = shop.reception_pool().begin().await.expect("it is up");
    for older in [
        "update orders set update_time = update_time - $1::interval, \
             silent_time = silent_time - $1::interval",
        "update outbox set create_time = create_time - $1::interval",
    ] {
        sqlx::query(older)
            .bind(interval)
            .execute(&mut *tx)
            .await
            .expect("the statement is right");
    }
    tx.commit().await.expect("it is up");
}

async fn questions(shop: &Shop) -> usize {
    let asked = "select count(*) from outbox where event_type like '%.OrderOverdue'";
    let asked = count(&shop.reception_pool(), asked).await;
    usize::try_from(asked).expect("a count is not negative")
}
