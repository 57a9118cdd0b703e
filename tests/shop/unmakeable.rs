//! An order that cannot be made fails, says why, and its money is owed: it neither waits for ever nor
//! for an operator.

use crate::{
    by_hand::{take, terms},
    count,
    handlers::{order_event, orders, tell_of_orders, without_orders},
    post::{order_id, process},
    shift,
};
use barista::{
    hopeless,
    store::{self, Terms},
    ticket::Event,
};
use proto::{
    barista::v1::{ListTicketsRequest, TicketState},
    reception::v1::{Order, OrderState, RefundState},
};
use shop::{
    customers::{espresso, item, latte},
    harness::{Options, Shop, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::collections::BTreeMap;
use uuid::Uuid;

#[tokio::test]
async fn an_order_of_a_drink_without_a_recipe_fails_and_its_money_is_owed() {
    let shop = crate::open().await;
    let withdrawn = "delete from recipes where drink = 'latte' and size = 'large'";
    execute(&shop.barista_pool(), withdrawn).await;
    let order = shop.place(latte()).await;
    fails_because(&shop, &order, r#"no recipe for "latte" in "large""#).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_nobody_on_shift_can_make_fails_and_its_money_is_owed() {
    let shop = crate::open().await;
    nobody_makes_espresso(&shop.barista_pool()).await;
    let order = shop.place(espresso()).await;
    let nobody = r#"nobody on shift can make "espresso", which takes the skill "espresso""#;
    fails_because(&shop, &order, nobody).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_fails_when_the_last_one_who_could_make_it_leaves() {
    let shop = crate::open().await;
    let order = a_latte_that_waits_without_a_recipe(&shop).await;
    nobody_makes_espresso(&shop.barista_pool()).await;
    let nobody = r#"nobody on shift can make "latte", which takes the skill "espresso""#;
    fails_because(&shop, &order, nobody).await;
    shift::release(&shop).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_recipe_is_withdrawn_while_it_waits_is_made() {
    let shop = crate::open().await;
    let order = a_latte_that_waits_without_a_recipe(&shop).await;
    shift::release(&shop).await;
    shop.until_ready(&order).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_drink_is_begun_again_and_again_and_never_done_fails() {
    // Half a minute for an espresso: nobody is done before the lease is made to run out.
    let options = Options::default()
        .with(Service::Barista, "BREW_SCALE", "20")
        .with(Service::Barista, "DRINK_ATTEMPTS", "2");
    let shop = crate::open_with(options).await;
    let order = shop.place(espresso()).await;
    eventually("the order to fail", async || {
        leases_run_out(&shop.barista_pool()).await;
        match shop.get(&order.order_id).await {
            Ok(order) if order.state() == OrderState::Failed => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let never = r#""espresso" in "single" was begun 2 times and never done"#;
    fails_because(&shop, &order, never).await;
    shop.close().await;
}

#[tokio::test]
async fn a_drink_is_given_up_after_as_many_leases_as_there_are_attempts_and_not_before() {
    let (shop, pool) = queued().await;
    for lapse in 1..=terms().attempts {
        assert_eq!(take(&pool).await.len(), 1, "attempt {lapse}");
        assert_eq!(give_up(&pool).await, 0, "attempt {lapse}");
        leases_run_out(&pool).await;
    }
    assert_eq!(take(&pool).await, [], "that was the last");
    assert_eq!(give_up(&pool).await, 1);
    assert_eq!(give_up(&pool).await, 0);
    let failed = "select count(*) from tickets where state = 'FAILED'";
    assert_eq!(count(&pool, failed).await, 1);
    assert_eq!(count(&pool, "select count(*) from drinks").await, 0);
    shop.discard().await;
}

#[tokio::test]
async fn a_drink_that_is_handed_back_has_not_failed() {
    let (shop, pool) = queued().await;
    for _ in 0..=terms().attempts {
        let terms = terms();
        assert_eq!(take_on(&pool, &terms).await, 1);
        let mut conn = pool.acquire().await.expect("the database is up");
        let back = store::hand_back(&mut conn, terms.owner).await;
        assert_eq!(back.expect("the database is up"), 1);
        assert_eq!(give_up(&pool).await, 0);
    }
    shop.discard().await;
}

#[tokio::test]
async fn a_ticket_that_has_ended_is_not_touched_by_hearing_of_it_again() {
    let (shop, pool) = queued().await;
    cancel(&pool).await;
    let ended = update_time(&pool).await;
    cancel(&pool).await;
    assert_eq!(update_time(&pool).await, ended);
    shop.discard().await;
}

/// With a tea, which is made. The latte's recipe is gone meanwhile, which it does not need.
async fn a_latte_that_waits_without_a_recipe(shop: &Shop) -> Order {
    shift::occupy(shop, "espresso").await;
    let mut order = latte();
    order.items = vec![item("tea", "small", 1), item("latte", "large", 1)];
    let order = shop.place(order).await;
    shop.until(&order, OrderState::Preparing).await;
    let withdrawn = "delete from recipes where skill = 'espresso'";
    execute(&shop.barista_pool(), withdrawn).await;
    order
}

/// Waits until the order has failed for this reason, and looks at what is said of it everywhere.
async fn fails_because(shop: &Shop, order: &Order, why: &str) {
    let failed = shop.until(order, OrderState::Failed).await;
    assert!(matches!(
        failed.refund_state(),
        RefundState::Pending | RefundState::Done
    ));
    let details: Vec<&str> = failed.history.iter().map(|h| h.detail.as_str()).collect();
    let detail = format!("cannot be made: {why}");
    assert!(details.contains(&detail.as_str()), "{details:?}");
    let request = ListTicketsRequest::default();
    let listed = shop.barista_client().list_tickets(request).await;
    let ticket = listed.expect("it is up").into_inner().tickets.remove(0);
    assert_eq!(ticket.state(), TicketState::Failed);
    assert_eq!(ticket.fail_reason, why);
    let parked = "select count(*) from dead_letters";
    assert_eq!(count(&shop.barista_pool(), parked).await, 0);
}

/// A barista that has heard of one order, and where nobody works.
async fn queued() -> (Shop, PgPool) {
    let (shop, order_id): (Shop, Uuid) = (without_orders().await, order_id());
    let paid = order_event(&order_id.to_string(), OrderState::Paid, 2);
    tell_of_orders(&shop, &[paid]).await;
    assert_eq!(process(&mut orders(&shop), 1).await.done, 1);
    let pool = shop.barista_pool();
    (shop, pool)
}

/// How many drinks this process gets.
async fn take_on(pool: &PgPool, terms: &Terms) -> usize {
    let mut conn = pool.acquire().await.expect("the database is up");
    let taken = store::take_drinks(&mut conn, terms).await;
    taken.expect("taking waits for nobody").len()
}

async fn give_up(pool: &PgPool) -> usize {
    let given_up = hopeless::give_up(pool, terms().attempts).await;
    given_up.expect("the database is up")
}

/// Reception has cancelled the order.
async fn cancel(pool: &PgPool) {
    let mut tx = pool.begin().await.expect("the database is up");
    let order_id = sqlx::query_scalar("select order_id from tickets");
    let order_id = order_id.fetch_one(&mut *tx).await.expect("it is queued");
    let cancelled = BTreeMap::from([(order_id, Event::OrderCancelled)]);
    let ended = store::end(&mut tx, cancelled).await;
    ended.expect("the database is up");
    tx.commit().await.expect("the database is up");
}

async fn update_time(pool: &PgPool) -> String {
    let time =
        sqlx::query_scalar("select update_time::text from tickets where state = 'CANCELLED'");
    time.fetch_one(pool).await.expect("it was cancelled")
}

/// Whoever brews is gone, or slow.
async fn leases_run_out(pool: &PgPool) {
    let over = "update drinks set lease_expire_time = '-infinity' where state = 'BREWING'";
    execute(pool, over).await;
}

async fn nobody_makes_espresso(pool: &PgPool) {
    execute(
        pool,
        "begin; delete from baristas where skills = '{espresso}'; \
         update baristas set skills = array_remove(skills, 'espresso'); commit",
    )
    .await;
}

async fn execute(pool: &PgPool, sql: &'static str) {
    let done = sqlx::raw_sql(sql).execute(pool).await;
    done.expect("the statement is right");
}
