//! Today's consumer understands tomorrow's publisher: a case or a field that it does not know changes
//! nothing, for it goes by the snapshot.

use crate::{
    handlers::{
        order, order_event, orders, tell_of_orders, ticket, ticket_event, tickets,
        with_a_paid_order, without_orders,
    },
    letter::Letter,
    log,
    post::{order_id, process},
};
use prost::Message;
use proto::{barista::v1::TicketState, reception::v1::OrderState};
use rdkafka::message::OwnedMessage;

/// What a later version adds to an event of either service: a case of the oneof, and a field beside
/// it. The numbers of a message are one space, so bytes of both messages can be put together.
#[derive(Clone, PartialEq, Message)]
struct Tomorrow {
    /// `oneof event { … OrderDelivered delivered = 99; }`
    #[prost(message, optional, tag = "99")]
    delivered: Option<Delivered>,
    /// `string channel = 100;`
    #[prost(string, tag = "100")]
    channel: String,
}

#[derive(Clone, PartialEq, Message)]
struct Delivered {
    #[prost(string, tag = "1")]
    courier: String,
}

/// What a later version adds to a snapshot: field 4 of the event is extended by what is merged into
/// it.
#[derive(Clone, PartialEq, Message)]
struct WithSnapshot {
    #[prost(message, optional, tag = "4")]
    snapshot: Option<Tomorrow>,
}

#[tokio::test]
async fn reception_goes_by_the_snapshot_of_an_event_that_it_does_not_know() {
    let (shop, order_id) = with_a_paid_order().await;
    let events = [(TicketState::Started, 2), (TicketState::Ready, 3)];
    for (state, revision) in events {
        let event = ticket_event(&order_id, state, revision);
        let letter = Letter::of_ticket(&event);
        log::write(&shop, from_tomorrow(letter, &shop.tickets_topic())).await;
    }
    assert_eq!(process(&mut tickets(&shop), 2).await.done, 2);
    assert_eq!(order(&shop).await, ("READY".to_owned(), 4));
    shop.discard().await;
}

#[tokio::test]
async fn the_barista_goes_by_the_snapshot_of_an_event_that_it_does_not_know() {
    let (shop, order_id) = (without_orders().await, order_id().to_string());
    for (state, revision) in [(OrderState::Paid, 2), (OrderState::Ready, 4)] {
        let letter = Letter::of_order(&order_event(&order_id, state, revision));
        log::write(&shop, from_tomorrow(letter, &shop.orders_topic())).await;
    }
    let handled = process(&mut orders(&shop), 2).await;
    assert_eq!((handled.done, handled.absorbed), (1, 1));
    assert_eq!(ticket(&shop).await, Some(("QUEUED".to_owned(), 2)));
    shop.discard().await;
}

#[tokio::test]
async fn a_state_that_is_not_known_is_parked_for_a_version_that_knows_it() {
    let (shop, order_id) = (without_orders().await, order_id().to_string());
    let mut event = order_event(&order_id, OrderState::Paid, 5);
    event.snapshot.get_or_insert_default().state = 99;
    tell_of_orders(&shop, &[event]).await;
    assert_eq!(process(&mut orders(&shop), 1).await.dead_letters, 1);
    let reason: String = sqlx::query_scalar("select reason from dead_letters")
        .fetch_one(&shop.barista_pool())
        .await
        .expect("it was parked");
    assert_eq!(reason, "unknown order state 99");
    shop.discard().await;
}

/// The same event as a later version would write it.
fn from_tomorrow(mut letter: Letter, topic: &str) -> OwnedMessage {
    let added = Tomorrow {
        delivered: Some(Delivered {
            courier: "Bo".to_owned(),
        }),
        channel: "app".to_owned(),
    };
    let snapshot = Some(added.clone());
    let payload = letter.payload.get_or_insert_default();
    payload.extend(added.encode_to_vec());
    payload.extend(WithSnapshot { snapshot }.encode_to_vec());
    letter
        .with("ce_type", "coffeeshop.tomorrow.v1.OrderDelivered")
        .to(topic, 0)
}
