//! Events of one order may come in any order: a higher revision stands for those before it, and what
//! comes later than that is absorbed and counted.

use crate::{
    count,
    handlers::{
        order, order_event, orders, tell_of_orders, tell_of_tickets, ticket, ticket_event, tickets,
        with_a_paid_order, without_orders,
    },
    log,
    post::{order_id, process, publish, relay_of},
};
use chrono::Utc;
use messaging::{event::Event, inbox::Processed, outbox};
use prost::Message as _;
use proto::{
    barista::v1::{TicketEvent, TicketState},
    reception::v1::OrderState,
};
use rdkafka::Message as _;
use sqlx::{Postgres, Transaction};
use std::time::Duration;
use telemetry::propagation::TraceContext;

#[tokio::test]
async fn ready_stands_for_started_and_started_that_comes_later_is_absorbed() {
    let (shop, order_id) = with_a_paid_order().await;
    let ready = ticket_event(&order_id, TicketState::Ready, 3);
    tell_of_tickets(&shop, &[ready]).await;
    let mut inbox = tickets(&shop);
    assert_eq!(process(&mut inbox, 1).await.done, 1);
    let after_ready = order(&shop).await;
    assert_eq!(after_ready, ("READY".to_owned(), 3));
    let started = ticket_event(&order_id, TicketState::Started, 2);
    tell_of_tickets(&shop, &[started]).await;
    assert_eq!(process(&mut inbox, 1).await, absorbed(1));
    assert_eq!(order(&shop).await, after_ready);
    shop.discard().await;
}

#[tokio::test]
async fn paid_makes_a_ticket_though_ready_came_first_and_makes_no_second() {
    let (shop, order_id) = (without_orders().await, order_id().to_string());
    let [ready, paid] = [(OrderState::Ready, 4), (OrderState::Paid, 2)]
        .map(|(state, revision)| order_event(&order_id, state, revision));
    tell_of_orders(&shop, &[ready, paid.clone(), paid]).await;
    let handled = process(&mut orders(&shop), 3).await;
    assert_eq!((handled.done, handled.absorbed), (1, 2));
    assert_eq!(ticket(&shop).await, Some(("QUEUED".to_owned(), 2)));
    let tickets = count(&shop.barista_pool(), "select count(*) from tickets").await;
    assert_eq!(tickets, 1);
    shop.discard().await;
}

#[tokio::test]
async fn revisions_that_commit_against_their_transactions_order_end_in_the_last() {
    let (shop, order_id) = with_a_paid_order().await;
    let pool = shop.barista_pool();
    let [started, ready] = [(TicketState::Started, 2), (TicketState::Ready, 3)]
        .map(|(state, revision)| announced(&ticket_event(&order_id, state, revision)));
    let mut early = pool.begin().await.expect("the database is up");
    // Any write gives it its transaction id.
    let id = sqlx::query("select pg_current_xact_id()").execute(&mut *early);
    id.await.expect("the database is up");
    let late = pool.begin().await.expect("the database is up");
    append_and_commit(late, started).await;
    append_and_commit(early, ready).await;
    let topic = shop.tickets_topic();
    publish(
        &mut relay_of(&shop, &pool, &topic, Duration::from_secs(30)),
        2,
    )
    .await;
    assert_eq!(revisions(&log::read(&shop, &topic).await), [3, 2]);
    let handled = process(&mut tickets(&shop), 2).await;
    assert_eq!((handled.done, handled.absorbed), (1, 1));
    assert_eq!(order(&shop).await, ("READY".to_owned(), 3));
    shop.discard().await;
}

fn absorbed(messages: usize) -> Processed {
    Processed {
        received: messages,
        absorbed: messages,
        ..Processed::default()
    }
}

/// As the barista writes it into its outbox.
fn announced(event: &TicketEvent) -> Event {
    let (event_type, trace) = (
        "coffeeshop.barista.v1.TicketSomething",
        TraceContext::default(),
    );
    let order_id = event.order_id.parse().expect("it is a UUID");
    Event::new(
        event_type,
        order_id,
        event.revision,
        Utc::now(),
        event,
        trace,
    )
}

async fn append_and_commit(mut tx: Transaction<'_, Postgres>, event: Event) {
    let appended = outbox::append(&mut tx, &[event]).await;
    appended.expect("the database is up");
    tx.commit().await.expect("the database is up");
}

fn revisions(messages: &[rdkafka::message::OwnedMessage]) -> Vec<i64> {
    let events = messages
        .iter()
        .map(|message| TicketEvent::decode(message.payload().expect("events have one")));
    events
        .map(|event| event.expect("it is a TicketEvent").revision)
        .collect()
}
