//! A wish to cancel at the barista's table: it overtakes, is overtaken, comes again, and meets a drink
//! that is being taken at the same moment.
//!
//! Straight at the handlers and the store: two connections are as good as two processes.

use crate::{
    by_hand, count,
    handlers::{
        order, order_event, orders, tell_of_orders, tell_of_tickets, ticket_event, tickets,
        with_a_paid_order, without_orders,
    },
    post::{order_id, process},
};
use barista::{store, ticket};
use proto::{
    barista::v1::TicketState,
    reception::v1::{
        CancelState, OrderEvent, OrderOverdue, OrderState, order_event::Event as Case,
    },
};
use shop::harness::{Shop, eventually};
use sqlx::PgPool;
use std::collections::BTreeMap;
use uuid::Uuid;

#[tokio::test]
async fn a_wish_that_overtakes_its_paid_leaves_a_tombstone_and_nothing_is_made() {
    for paid_first in [false, true] {
        let (shop, order_id) = (without_orders().await, order_id().to_string());
        let paid = order_event(&order_id, OrderState::Paid, 2);
        let mut events = [wish(&order_id, OrderState::Paid, 3), paid];
        if paid_first {
            events.reverse();
        }
        let mut inbox = orders(&shop);
        for event in events {
            // Each in a transaction of its own: together they would be sorted out in memory.
            tell_of_orders(&shop, &[event]).await;
            process(&mut inbox, 1).await;
        }
        assert_eq!(by_hand::take(&shop.barista_pool()).await, []);
        let told = told(&shop.barista_pool()).await;
        let last = told.last().map(String::as_str);
        assert_eq!(last, Some("TicketCancelled"), "{told:?}");
        let parked = "select count(*) from dead_letters";
        assert_eq!(count(&shop.barista_pool(), parked).await, 0);
        shop.discard().await;
    }
}

#[tokio::test]
async fn a_drink_that_is_being_taken_is_waited_for_and_the_wish_comes_too_late() {
    let (shop, order_id) = queued_at_the_barista().await;
    let pool = shop.barista_pool();
    let mut taking = pool.begin().await.expect("the database is up");
    let taken = store::take_drinks(&mut taking, &by_hand::terms()).await;
    assert_eq!(taken.expect("it waits for nobody").len(), 1);
    let take = async {
        until_somebody_waits(&pool).await;
        taking.commit().await.expect("the database is up");
    };
    tokio::join!(end(&pool, order_id), take);
    let refused = ("STARTED".to_owned(), 3, true);
    assert_eq!(by_hand::ticket(&pool, order_id).await, refused);
    shop.discard().await;
}

#[tokio::test]
async fn a_ticket_that_is_being_cancelled_is_left_alone_and_then_there_is_nothing_to_take() {
    let (shop, order_id) = queued_at_the_barista().await;
    let pool = shop.barista_pool();
    let mut cancelling = pool.begin().await.expect("the database is up");
    let wish = BTreeMap::from([(order_id, ticket::Event::CancelRequested)]);
    store::end(&mut cancelling, wish).await.expect("it is up");
    assert_eq!(by_hand::take(&pool).await, []);
    cancelling.commit().await.expect("the database is up");
    assert_eq!(by_hand::take(&pool).await, []);
    let cancelled = ("CANCELLED".to_owned(), 2, false);
    assert_eq!(by_hand::ticket(&pool, order_id).await, cancelled);
    shop.discard().await;
}

#[tokio::test]
async fn a_question_decides_a_wish_once_and_is_answered_again_and_again() {
    let (shop, order_id) = (without_orders().await, order_id().to_string());
    let mut question = wish(&order_id, OrderState::Paid, 3);
    question.event = Some(Case::Overdue(OrderOverdue {}));
    let paid = order_event(&order_id, OrderState::Paid, 2);
    let (mut inbox, pool) = (orders(&shop), shop.barista_pool());
    tell_of_orders(&shop, &[paid, question.clone()]).await;
    assert_eq!(process(&mut inbox, 2).await.done, 2);
    let decided = ["TicketQueued", "TicketCancelled"];
    assert_eq!(told(&pool).await, decided);
    tell_of_orders(&shop, &[question]).await;
    assert_eq!(process(&mut inbox, 1).await.done, 1);
    assert_eq!(told(&pool).await[..2], decided);
    assert_eq!(told(&pool).await[2..], decided[1..]);
    shop.discard().await;
}

#[tokio::test]
async fn a_cancelled_order_is_not_made_though_a_restored_barista_has_begun_it() {
    let (shop, order_id) = (without_orders().await, order_id());
    let (mut inbox, pool) = (orders(&shop), shop.barista_pool());
    let [paid, cancelled] = [(OrderState::Paid, 2), (OrderState::Cancelled, 4)]
        .map(|(state, revision)| order_event(&order_id.to_string(), state, revision));
    tell_of_orders(&shop, &[paid]).await;
    process(&mut inbox, 1).await;
    let drink = by_hand::take(&pool).await.remove(0);
    tell_of_orders(&shop, &[cancelled]).await;
    process(&mut inbox, 1).await;
    let ticket = ("CANCELLED".to_owned(), 3, false);
    assert_eq!(by_hand::ticket(&pool, order_id).await, ticket);
    let mut tx = pool.begin().await.expect("the database is up");
    let booked = store::book_drinks(&mut tx, &[drink]).await;
    assert_eq!(booked.expect("too late is no error"), [false]);
    shop.discard().await;
}

#[tokio::test]
async fn ready_is_heard_of_a_barista_that_has_lost_the_book_in_which_it_refused() {
    let (shop, order_id) = with_a_paid_order().await;
    let mut refused = ticket_event(&order_id, TicketState::Started, 3);
    refused.snapshot.get_or_insert_default().cancel_refused = true;
    // Without a wish to refuse, the book that follows counts one less.
    let ready = ticket_event(&order_id, TicketState::Ready, 3);
    tell_of_tickets(&shop, &[refused, ready]).await;
    assert_eq!(process(&mut tickets(&shop), 2).await.done, 2);
    assert_eq!(order(&shop).await, ("READY".to_owned(), 4));
    shop.discard().await;
}

/// Reception's word that a customer wants to cancel.
fn wish(order_id: &str, state: OrderState, revision: i64) -> OrderEvent {
    let mut event = order_event(order_id, state, revision);
    let snapshot = event.snapshot.get_or_insert_default();
    snapshot.set_cancel_state(CancelState::Requested);
    event
}

/// A barista that has heard of one order, and where nobody works.
async fn queued_at_the_barista() -> (Shop, Uuid) {
    let (shop, order_id) = (without_orders().await, order_id());
    let paid = order_event(&order_id.to_string(), OrderState::Paid, 2);
    tell_of_orders(&shop, &[paid]).await;
    assert_eq!(process(&mut orders(&shop), 1).await.done, 1);
    (shop, order_id)
}

/// Puts a wish to cancel to the ticket.
async fn end(pool: &PgPool, order_id: Uuid) {
    let mut tx = pool.begin().await.expect("the database is up");
    let wish = BTreeMap::from([(order_id, ticket::Event::CancelRequested)]);
    store::end(&mut tx, wish).await.expect("it waits its turn");
    tx.commit().await.expect("the database is up");
}

/// Waits until a transaction of this database waits for another.
async fn until_somebody_waits(pool: &PgPool) {
    let waiting = "select count(*) from pg_stat_activity \
        where datname = current_database() and wait_event_type = 'Lock'";
    eventually("somebody to wait", async || {
        match count(pool, waiting).await {
            0 => Err("nobody waits"),
            _ => Ok(()),
        }
    })
    .await;
}

/// What was said of the one ticket, as it was written.
async fn told(pool: &PgPool) -> Vec<String> {
    let told = sqlx::query_scalar(
        "select substring(event_type from '[^.]*$') from outbox order by xid, seq",
    );
    told.fetch_all(pool).await.expect("the database is up")
}
