//! The services' own handlers on their own databases, while the services stand still: the test calls
//! each step.

use crate::{
    letter::Letter,
    log,
    post::{kafka_of, watched},
};
use messaging::{
    inbox::{Handler, Inbox},
    outbox::Waker,
};
use proto::{
    barista::v1::{TicketEvent, TicketSnapshot, TicketState},
    reception::v1::{OrderEvent, OrderSnapshot, OrderState, OrderedDrink},
};
use shop::{
    customers::latte,
    harness::{Options, Shop},
};
use sqlx::PgPool;
use std::time::Duration;

/// A shop in which nothing runs and nobody ordered. The barista's tables are there.
pub async fn without_orders() -> Shop {
    let shop = Shop::prepare(Options::default())
        .await
        .expect("databases and topics can be made");
    let migrated = barista::MIGRATIONS.run(&shop.barista_pool()).await;
    migrated.expect("the database is up");
    shop
}

/// The same after it took one order, which is paid.
pub async fn with_a_paid_order() -> (Shop, String) {
    let shop = without_orders().await;
    shop.payments.start().await.expect("it starts");
    shop.reception.start().await.expect("it starts");
    let order = shop.place(latte()).await;
    shop.reception.stop().await.expect("it ends well");
    (shop, order.order_id)
}

/// Reception's handler of the barista's events.
pub fn tickets(shop: &Shop) -> Inbox<reception::events::Tickets> {
    let waker = Waker::new();
    let handler = reception::events::Tickets { waker };
    inbox(
        shop,
        "reception",
        shop.reception_pool(),
        shop.tickets_topic(),
        handler,
    )
}

/// The barista's handler of reception's events.
pub fn orders(shop: &Shop) -> Inbox<barista::events::Orders> {
    let handler = barista::events::Orders {
        relay: Waker::new(),
        workforce: std::sync::Arc::default(),
    };
    inbox(
        shop,
        "barista",
        shop.barista_pool(),
        shop.orders_topic(),
        handler,
    )
}

fn inbox<H: Handler>(
    shop: &Shop,
    name: &'static str,
    pool: PgPool,
    topic: String,
    handler: H,
) -> Inbox<H> {
    let (kafka, options) = (kafka_of(shop), watched(Duration::from_secs(60)));
    // Not the service's own group, which has read some of it.
    let group = format!("steps-of-{name}.{}", shop.name);
    let inbox = Inbox::new(pool, &kafka, name, &group, topic, handler, &options);
    inbox.expect("the settings are valid")
}

/// Writes what the barista says.
pub async fn tell_of_tickets(shop: &Shop, events: &[TicketEvent]) {
    for event in events {
        log::write(shop, Letter::of_ticket(event).to(&shop.tickets_topic(), 0)).await;
    }
}

/// Writes what reception says.
pub async fn tell_of_orders(shop: &Shop, events: &[OrderEvent]) {
    for event in events {
        log::write(shop, Letter::of_order(event).to(&shop.orders_topic(), 0)).await;
    }
}

/// A ticket's event by its snapshot alone.
pub fn ticket_event(order_id: &str, state: TicketState, revision: i64) -> TicketEvent {
    TicketEvent {
        order_id: order_id.to_owned(),
        revision,
        snapshot: Some(TicketSnapshot {
            state: state.into(),
            drinks_total: 1,
            ..TicketSnapshot::default()
        }),
        ..TicketEvent::default()
    }
}

/// An order's event by its snapshot alone.
pub fn order_event(order_id: &str, state: OrderState, revision: i64) -> OrderEvent {
    let (drink, size) = ("latte".to_owned(), "small".to_owned());
    OrderEvent {
        order_id: order_id.to_owned(),
        revision,
        snapshot: Some(OrderSnapshot {
            state: state.into(),
            items: vec![OrderedDrink {
                drink,
                size,
                quantity: 1,
            }],
            ..OrderSnapshot::default()
        }),
        ..OrderEvent::default()
    }
}

/// State and revision of an order.
pub async fn order(shop: &Shop) -> (String, i64) {
    let order = sqlx::query_as("select state, revision from orders")
        .fetch_one(&shop.reception_pool())
        .await;
    order.expect("there is one order")
}

/// State of the ticket, and the last revision of its order that was applied, if there is one.
pub async fn ticket(shop: &Shop) -> Option<(String, i64)> {
    let ticket = sqlx::query_as("select state, order_revision from tickets")
        .fetch_optional(&shop.barista_pool())
        .await;
    ticket.expect("the database is up")
}
