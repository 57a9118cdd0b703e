//! What could not be handled is replayed with effect once, or given up with a word to whoever waits.

use crate::{
    count,
    delivery::as_new_event,
    handlers::{order_event, ticket, without_orders},
    log,
    money_back::until_money_is,
    post::order_id,
    reason,
};
use messaging::{
    dead_letters::{Consequence, GiveUp as _},
    inbox::{Message, Origin},
    outbox::Waker,
};
use prost::Message as _;
use proto::{
    barista::v1::{ListTicketsRequest, TicketState},
    operations::v1::{
        DeadLetter, DropConsequence, DropDeadLetterRequest, DropDeadLetterResponse,
        ListDeadLettersRequest, ReplayDeadLetterRequest, ReplayResult,
        dead_letters_service_client::DeadLettersServiceClient,
    },
    reception::v1::{CancelState, Order, OrderEvent, OrderState, RefundState},
};
use rdkafka::{Message as _, message::OwnedMessage};
use shop::{
    customers::latte,
    harness::{Hosted, Options, Shop, UNSENT, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::sync::Arc;
use telemetry::propagation::TraceContext;
use tonic::Status;
use uuid::Uuid;

#[tokio::test]
async fn a_parked_order_is_made_once_however_often_it_is_replayed() {
    let shop = crate::open().await;
    let order = park_an_order(&shop).await;
    let letter = only_letter(&shop.barista).await;
    assert_eq!(letter.order_id, order.order_id);
    assert_eq!(letter.event_type, "coffeeshop.reception.v1.OrderPaid");
    assert!(letter.reason.contains("not_today"), "{}", letter.reason);
    let refused = replay(&shop, &letter).await.expect_err("nothing is mended");
    assert_eq!(reason(&refused), "STILL_DEAD");
    mend(&shop).await;

    // Two operators at once.
    let (first, second) = tokio::join!(replay(&shop, &letter), replay(&shop, &letter));
    let ((Ok(result), Err(late)) | (Err(late), Ok(result))) = (first, second) else {
        panic!("one of them was expected to be late");
    };
    assert_eq!(result, ReplayResult::Handled);
    assert_eq!(reason(&late), "DEAD_LETTER_NOT_FOUND");
    shop.until_ready(&order).await;
    let again = replay(&shop, &letter).await.expect_err("it is gone");
    assert_eq!(reason(&again), "DEAD_LETTER_NOT_FOUND");
    shop.close().await;
}

#[tokio::test]
async fn a_dropped_order_fails_with_its_money_back_and_is_never_made() {
    let shop = crate::open().await;
    let order = park_an_order(&shop).await;
    let letter = only_letter(&shop.barista).await;
    let dropped = give_up(&shop.barista, &letter, "out of milk").await;
    assert_eq!(dropped.consequence(), DropConsequence::OrderFails);
    let failed = until_money_is(&shop, &order, RefundState::Done).await;
    assert_eq!(failed.state(), OrderState::Failed);
    let details: Vec<&str> = failed.history.iter().map(|e| e.detail.as_str()).collect();
    assert_eq!(details[2..], ["cannot be made: out of milk", "refunded"]);

    // The event would be as good as any now; but nobody takes back what was said.
    mend(&shop).await;
    tell_again(&shop, "OrderPaid").await;
    let tombstone = (order.order_id, TicketState::Failed, 0);
    assert_eq!(tickets(&shop).await, [tombstone]);
    let summary = shop.books(true).await.expect("all are up").summary;
    assert_eq!((summary.refunds_owed, summary.refunded_minor), (0, 420));
    shop.close().await;
}

#[tokio::test]
async fn a_dropped_wish_to_cancel_that_overtook_its_order_cancels_it() {
    let shop = without_orders().await;
    let order_id = order_id();
    let mut wish = order_event(&order_id.to_string(), OrderState::Paid, 3);
    let snapshot = wish.snapshot.as_mut().expect("it has one");
    snapshot.set_cancel_state(CancelState::Requested);
    let mut conn = shop.barista_pool().acquire().await.expect("it is up");
    let barista = barista::events::Orders {
        relay: Waker::new(),
        workforce: Arc::default(),
    };
    let wish = received(order_id, &wish);
    let dropped = barista.dropped(&mut conn, &wish, "nobody wants it").await;
    let Ok(Consequence::Unaffected(said)) = dropped else {
        panic!("{dropped:?}");
    };
    assert!(said.contains("cancelled"), "{said}");
    let tombstone = Some(("CANCELLED".to_owned(), 3));
    assert_eq!(ticket(&shop).await, tombstone);
    shop.discard().await;
}

#[tokio::test]
async fn what_is_dropped_of_an_order_that_has_a_ticket_changes_nothing_of_it() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    let ready = shop.until_ready(&order).await;
    shop.until_idle().await;
    let told = log::read(&shop, &shop.orders_topic()).await.remove(0);
    log::write(&shop, as_new_event(&told, b"\xff\xff")).await;

    let letter = only_letter(&shop.barista).await;
    let dropped = give_up(&shop.barista, &letter, "it is garbage").await;
    assert_eq!(dropped.consequence(), DropConsequence::OrderUnaffected);
    let made = (order.order_id.clone(), TicketState::Ready, 1);
    assert_eq!(tickets(&shop).await, [made]);
    assert_eq!(
        shop.get(&order.order_id).await.expect("it is stored"),
        ready
    );
    shop.close().await;
}

#[tokio::test]
async fn what_names_its_order_only_by_its_key_is_dropped_with_a_warning() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    let told = log::read(&shop, &shop.tickets_topic()).await.remove(0);
    log::write(&shop, without_headers(&told)).await;

    let letter = only_letter(&shop.reception).await;
    assert_eq!(letter.order_id, order.order_id);
    let dropped = give_up(&shop.reception, &letter, "it has no headers").await;
    assert_eq!(dropped.consequence(), DropConsequence::OrderMayWait);
    assert!(dropped.detail.contains(&order.order_id), "{dropped:?}");
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_event_is_never_published_fails_with_its_money_back() {
    let shop = crate::open().await;
    shop.barista.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    let letter = park_as_unpublished(&shop).await;
    assert_eq!((letter.partition, letter.offset), (None, None));
    let dropped = give_up(&shop.reception, &letter, "Kafka will not have it").await;
    assert_eq!(dropped.consequence(), DropConsequence::OrderFails);
    // Both events lie there before the barista begins: it must not have brewed by the second.
    until(&shop.reception_pool(), UNSENT, 0).await;
    // It did go through, which is what nobody can know of an answer that was lost.
    shop.barista.start().await.expect("it starts");
    let failed = until_money_is(&shop, &order, RefundState::Done).await;
    assert_eq!(failed.state(), OrderState::Failed);
    let given_up = "select count(*) from tickets where state = 'FAILED'";
    until(&shop.barista_pool(), given_up, 1).await;
    let drinks = count(&shop.barista_pool(), "select count(*) from drinks").await;
    assert_eq!(drinks, 0, "nobody brews it");
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_is_brewed_goes_on_whatever_is_dropped_of_its_events() {
    // Two seconds for a latte.
    let slow = Options::default().with(Service::Barista, "BREW_SCALE", "0.5");
    let shop = crate::open_with(slow).await;
    let order = shop.place(latte()).await;
    shop.until(&order, OrderState::Preparing).await;
    let letter = park_as_unpublished(&shop).await;
    let dropped = give_up(&shop.reception, &letter, "Kafka will not have it").await;
    assert_eq!(dropped.consequence(), DropConsequence::OrderUnaffected);
    shop.until_ready(&order).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_handled_is_parked_once_however_often_it_is_asked_after() {
    let hasty = Options::default().with(Service::Reception, "RECONCILE_AFTER", "300ms");
    let shop = crate::open_with(hasty).await;
    let order = park_an_order(&shop).await;
    let asked = "select count(*) from inbox";
    until(&shop.barista_pool(), asked, 4).await;
    // One of OrderPaid, one of all questions.
    let letters = count(&shop.barista_pool(), "select count(*) from dead_letters").await;
    assert_eq!(letters, 2);
    mend(&shop).await;
    shop.until_ready(&order).await;
    shop.close().await;
}

/// As the inbox hands it over.
fn received(order_id: Uuid, event: &OrderEvent) -> Message {
    Message {
        event_id: Uuid::now_v7(),
        event_type: "coffeeshop.reception.v1.OrderCancelRequested".to_owned(),
        order_id,
        payload: event.encode_to_vec().into(),
        trace: TraceContext::default(),
        origin: Origin {
            topic: "orders.v1".to_owned(),
            partition: 0,
            offset: 0,
            time_ms: 0,
        },
    }
}

/// As the relay parks what Kafka refused for good.
async fn park_as_unpublished(shop: &Shop) -> DeadLetter {
    let unpublished = "insert into dead_letters \
        (consumer, topic, event_id, revision, headers, key, payload, reason) \
        select 'relay', 'orders.v1', event_id, revision, jsonb_build_object( \
            'ce_specversion', '1.0', 'content-type', 'application/protobuf', 'ce_id', event_id, \
            'ce_type', event_type, 'ce_subject', order_id, 'ce_time', occur_time), \
            convert_to(order_id::text, 'UTF8'), payload, 'too large' \
        from outbox where event_type like '%OrderPaid'";
    execute(&shop.reception_pool(), unpublished).await;
    only_letter(&shop.reception).await
}

/// An order that the barista's handler cannot handle: its table refuses the ticket, as after a
/// migration gone wrong.
pub async fn park_an_order(shop: &Shop) -> Order {
    let refusing = "alter table tickets add constraint not_today check (state <> 'QUEUED')";
    execute(&shop.barista_pool(), refusing).await;
    shop.place(latte()).await
}

/// Repairs the handler.
pub async fn mend(shop: &Shop) {
    let mended = "alter table tickets drop constraint not_today";
    execute(&shop.barista_pool(), mended).await;
}

/// Waits for it.
pub async fn only_letter(keeper: &Hosted) -> DeadLetter {
    let mut client = DeadLettersServiceClient::new(keeper.channel().expect("the URL is our own"));
    eventually("one dead letter", async || {
        let request = ListDeadLettersRequest::default();
        let listed = client.list_dead_letters(request).await;
        let mut letters = listed.map_err(|status| format!("{status:?}"))?;
        let letters = &mut letters.get_mut().dead_letters;
        match (letters.pop(), letters.len()) {
            (Some(only), 0) => Ok(only),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

pub async fn replay(shop: &Shop, letter: &DeadLetter) -> Result<ReplayResult, Status> {
    let channel = shop.barista.channel().expect("the URL is our own");
    let dead_letter_id = letter.dead_letter_id;
    let request = ReplayDeadLetterRequest { dead_letter_id };
    let mut client = DeadLettersServiceClient::new(channel);
    let replayed = client.replay_dead_letter(request).await?;
    Ok(replayed.into_inner().result())
}

async fn give_up(keeper: &Hosted, letter: &DeadLetter, reason: &str) -> DropDeadLetterResponse {
    let channel = keeper.channel().expect("the URL is our own");
    let request = DropDeadLetterRequest {
        dead_letter_id: letter.dead_letter_id,
        reason: reason.to_owned(),
    };
    let mut client = DeadLettersServiceClient::new(channel);
    let dropped = client.drop_dead_letter(request).await;
    dropped.expect("it is there").into_inner()
}

fn without_headers(message: &OwnedMessage) -> OwnedMessage {
    OwnedMessage::new(
        message.payload().map(<[u8]>::to_vec),
        message.key().map(<[u8]>::to_vec),
        message.topic().to_owned(),
        message.timestamp(),
        message.partition(),
        message.offset(),
        None,
    )
}

/// Tells the barista the same fact in a new event, and waits until it has heard.
async fn tell_again(shop: &Shop, case: &str) {
    let told = log::read(shop, &shop.orders_topic()).await;
    let told = told
        .iter()
        .find(|message| log::headers(message)["ce_type"].ends_with(case));
    let told = told.expect("it was told before");
    let again = as_new_event(told, told.payload().expect("events have one"));
    let event_id: Uuid = log::headers(&again)["ce_id"].parse().expect("it is ours");
    log::write(shop, again).await;
    eventually("the barista to have heard", async || {
        let heard = sqlx::query_scalar("select count(*) from inbox where event_id = $1");
        let heard: i64 = heard
            .bind(event_id)
            .fetch_one(&shop.barista_pool())
            .await
            .expect("the database is up");
        if heard == 1 { Ok(()) } else { Err(heard) }
    })
    .await;
}

/// Order, state and number of drinks of each ticket.
async fn tickets(shop: &Shop) -> Vec<(String, TicketState, usize)> {
    let request = ListTicketsRequest::default();
    let listed = shop.barista_client().list_tickets(request).await;
    let tickets = listed.expect("it is up").into_inner().tickets.into_iter();
    tickets
        .map(|ticket| (ticket.order_id.clone(), ticket.state(), ticket.drinks.len()))
        .collect()
}

async fn until(pool: &PgPool, question: &'static str, expected: i64) {
    eventually(question, async || match count(pool, question).await {
        found if found == expected => Ok(()),
        found => Err(found),
    })
    .await;
}

async fn execute(pool: &PgPool, sql: &'static str) {
    let done = sqlx::raw_sql(sql).execute(pool).await;
    done.expect("the statement is right");
}
