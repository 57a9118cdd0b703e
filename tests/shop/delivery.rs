//! What the services say to each other, and what they make of it when it comes twice, or broken.

use crate::{count, log};
use rdkafka::{
    Message as _, Timestamp,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
};
use shop::{
    customers::latte,
    harness::{Shop, eventually},
};
use sqlx::PgPool;
use std::collections::BTreeSet;
use uuid::Uuid;

/// What one service says and the other acts on. The rest is passed by, and not remembered.
const ACTED_ON: [&str; 3] = [
    "coffeeshop.reception.v1.OrderPaid",
    "coffeeshop.barista.v1.TicketStarted",
    "coffeeshop.barista.v1.TicketReady",
];

#[tokio::test]
async fn events_carry_the_headers_of_cloud_events() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    for (topic, source, types) in [
        (
            shop.orders_topic(),
            "/coffeeshop/reception",
            "coffeeshop.reception.v1.Order",
        ),
        (
            shop.tickets_topic(),
            "/coffeeshop/barista",
            "coffeeshop.barista.v1.Ticket",
        ),
    ] {
        let messages = log::read(&shop, &topic).await;
        assert!(!messages.is_empty());
        for message in messages {
            let headers = log::headers(&message);
            assert_eq!(headers["ce_specversion"], "1.0");
            assert_eq!(headers["ce_source"], source);
            assert!(headers["ce_type"].starts_with(types), "{headers:?}");
            assert_eq!(headers["ce_subject"], order.order_id);
            assert_eq!(headers["content-type"], "application/protobuf");
            headers["ce_id"].parse::<Uuid>().expect("it is a UUID");
            headers["ce_time"]
                .parse::<chrono::DateTime<chrono::Utc>>()
                .expect("it is a time");
            assert_eq!(message.key(), Some(order.order_id.as_bytes()));
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn no_event_holds_the_customers_name_or_token() {
    let shop = crate::open().await;
    let mut order = latte();
    order.customer_name = "Grace Hopper".to_owned();
    order.payment_token = "tok_secret".to_owned();
    let order = shop.place(order).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        for message in log::read(&shop, &topic).await {
            let text = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
            assert!(
                !text.contains("Hopper") && !text.contains("secret"),
                "{text}"
            );
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn events_that_come_again_change_nothing() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    let ready = shop.until_ready(&order).await;
    shop.until_idle().await;
    let handled = inboxes(&shop).await;
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        for message in log::read(&shop, &topic).await {
            log::write(&shop, message).await;
        }
    }
    until_all_is_consumed(&shop).await;
    assert_eq!(inboxes(&shop).await, handled, "no id was new");
    nothing_else_is_parked(&shop).await;
    assert_eq!(
        shop.get(&order.order_id).await.expect("it is stored"),
        ready
    );
    shop.close().await;
}

#[tokio::test]
async fn facts_that_come_again_in_other_events_change_nothing() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    let ready = shop.until_ready(&order).await;
    shop.until_idle().await;
    let (reception, barista) = inboxes(&shop).await;
    let mut again = 0;
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        for message in log::read(&shop, &topic).await {
            let payload = message.payload().expect("events have one");
            log::write(&shop, as_new_event(&message, payload)).await;
            again += i64::from(ACTED_ON.contains(&log::headers(&message)["ce_type"].as_str()));
        }
    }
    until_all_is_consumed(&shop).await;
    let (reception_now, barista_now) = inboxes(&shop).await;
    assert_eq!(
        reception_now + barista_now,
        reception + barista + again,
        "each id that concerns somebody was new"
    );
    nothing_else_is_parked(&shop).await;
    assert_eq!(
        shop.get(&order.order_id).await.expect("it is stored"),
        ready
    );
    shop.close().await;
}

#[tokio::test]
async fn poison_is_parked_with_its_reason_and_orders_go_on() {
    let shop = crate::open().await;
    let first = shop.place(latte()).await;
    shop.until_ready(&first).await;
    shop.until_idle().await;
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        let told = log::read(&shop, &topic).await.remove(0);
        log::write(&shop, as_new_event(&told, b"\xff\xff")).await;
    }
    until_all_is_consumed(&shop).await;
    let second = shop.place(latte()).await;
    shop.until_ready(&second).await;
    for (pool, reason) in [
        (shop.barista_pool(), "not an OrderEvent"),
        (shop.reception_pool(), "not a TicketEvent"),
    ] {
        let reasons = reasons(&pool).await;
        assert!(
            reasons.iter().any(|parked| parked.starts_with(reason)),
            "{reasons:?}"
        );
    }
    shop.close().await;
}

/// Puts garbage at the end of every partition, and waits until it is parked: by then everything
/// before it is consumed.
pub async fn until_all_is_consumed(shop: &Shop) {
    let garbage = |topic: &str, partition| {
        let payload = Some(b"garbage".to_vec());
        let (topic, time) = (topic.to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(payload, None, topic, time, partition, 0, None)
    };
    for partition in 0..2 {
        log::write(shop, garbage(&shop.orders_topic(), partition)).await;
        log::write(shop, garbage(&shop.tickets_topic(), partition)).await;
    }
    until_garbage_is_parked(shop).await;
}

/// Waits until the garbage at the end of every partition is parked.
pub async fn until_garbage_is_parked(shop: &Shop) {
    let parked = "select count(*) from dead_letters where reason like 'header%'";
    eventually("all messages to be consumed", async || {
        let reception = count(&shop.reception_pool(), parked).await;
        let barista = count(&shop.barista_pool(), parked).await;
        if (reception, barista) == (2, 2) {
            Ok(())
        } else {
            Err((reception, barista))
        }
    })
    .await;
}

/// What is absorbed is not parked: nobody has to look at it.
async fn nothing_else_is_parked(shop: &Shop) {
    for pool in [shop.reception_pool(), shop.barista_pool()] {
        let reasons = reasons(&pool).await;
        assert!(
            reasons.iter().all(|reason| reason.starts_with("header")),
            "{reasons:?}"
        );
    }
}

/// How many events reception and the barista have handled.
pub async fn inboxes(shop: &Shop) -> (i64, i64) {
    let handled = "select count(*) from inbox";
    (
        count(&shop.reception_pool(), handled).await,
        count(&shop.barista_pool(), handled).await,
    )
}

async fn reasons(pool: &PgPool) -> BTreeSet<String> {
    let reasons = sqlx::query_scalar("select reason from dead_letters")
        .fetch_all(pool)
        .await;
    reasons.expect("the database is up").into_iter().collect()
}

/// The same message as another event.
pub fn as_new_event(message: &OwnedMessage, payload: &[u8]) -> OwnedMessage {
    let id = Uuid::now_v7().to_string();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    let headers = headers.fold(OwnedHeaders::new(), |headers, header| {
        let (key, old) = (header.key, header.value);
        let value = if key == "ce_id" {
            Some(id.as_bytes())
        } else {
            old
        };
        headers.insert(Header { key, value })
    });
    OwnedMessage::new(
        Some(payload.to_vec()),
        message.key().map(<[u8]>::to_vec),
        message.topic().to_owned(),
        message.timestamp(),
        message.partition(),
        message.offset(),
        Some(headers),
    )
}
