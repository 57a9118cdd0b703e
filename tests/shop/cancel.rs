//! Whoever asks to cancel learns the truth, and whatever races with it, an order ends in one of two
//! ways: made and kept, or not made and its money owed.
//!
//! Both outcomes of each race are forced: where timing would decide, the test is the barista.

use crate::{by_hand::ByHand, count, log, post::order_id, reason, shift};
use clap::Parser as _;
use futures::future::join_all;
use proto::reception::v1::{
    CancelOrderRequest, CancelState, CollectOrderRequest, Order, OrderHistoryEntry, OrderState,
    PaymentState, PlaceOrderRequest, RefundState,
};
use rdkafka::{Message as _, message::OwnedMessage};
use shop::{
    cli::Cli,
    customers::{espresso, item, latte},
    harness::{Options, Shop, UNSENT, eventually},
    services::Service,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why orders are cancelled here.
const REASON: &str = "changed my mind";

#[tokio::test]
async fn an_order_that_nobody_has_begun_is_cancelled_and_its_money_owed() {
    let shop = crate::open().await;
    shift::occupy(&shop, "espresso").await;
    let order = shop.place(latte()).await;
    let asked = cancel(&shop, &order).await.expect("it is not begun");
    assert!(matches!(
        asked.cancel_state(),
        CancelState::Requested | CancelState::Accepted
    ));
    let cancelled = shop.until(&order, OrderState::Cancelled).await;
    assert_eq!(cancelled.cancel_state(), CancelState::Accepted);
    assert!(gives_back(&cancelled), "{cancelled:?}");
    let detail = |at: usize| cancelled.history[at].detail.clone();
    assert_eq!(detail(2), format!("asked to cancel: {REASON}"));

    shift::release(&shop).await;
    let drinks = count(&shop.barista_pool(), "select count(*) from drinks").await;
    assert_eq!(drinks, 0, "nothing is left to be made");
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_is_begun_is_not_cancelled_and_says_so() {
    let shop = crate::open().await;
    // The tea is begun; the latte waits.
    shift::occupy(&shop, "espresso").await;
    let order = shop.place(tea_and_latte()).await;
    shop.until(&order, OrderState::Preparing).await;
    cancel(&shop, &order).await.expect("it can be asked");
    let refused = until_decided(&shop, &order).await;
    assert_eq!(refused.state(), OrderState::Preparing);
    assert_eq!(refused.cancel_state(), CancelState::Refused);

    shift::release(&shop).await;
    let ready = shop.until_ready(&order).await;
    assert_eq!(ready.cancel_state(), CancelState::Refused);
    assert_eq!(ready.refund_state(), RefundState::NotNeeded);
    shop.close().await;
}

#[tokio::test]
async fn an_unpaid_order_is_cancelled_at_once_and_its_key_is_owed_a_closing() {
    let shop = crate::open().await;
    shop.payments.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    let cancelled = cancel(&shop, &order).await.expect("it is not paid");
    assert_eq!(cancelled.state(), OrderState::Cancelled);
    assert_eq!(cancelled.cancel_state(), CancelState::Accepted);
    assert_eq!(cancelled.refund_state(), RefundState::Pending);
    assert_eq!(cancelled.payment_state(), PaymentState::Pending);
    let tokens = "select count(*) from orders where payment_token is not null";
    assert_eq!(count(&shop.reception_pool(), tokens).await, 0);
    let again = cancel(&shop, &order).await.expect("it is cancelled");
    assert_eq!(again, cancelled);

    shop.payments.start().await.expect("it starts again");
    // The barista has heard, and makes nothing of it should its PAID ever come.
    eventually("a tombstone", async || {
        let tombstones = "select count(*) from tickets where state = 'CANCELLED'";
        match count(&shop.barista_pool(), tombstones).await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_wish_that_comes_before_the_first_drink_is_begun_is_granted() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let asked = cancel(&barista.shop, &order).await.expect("it is paid");
    assert_eq!(asked.state(), OrderState::Paid);
    assert_eq!(asked.cancel_state(), CancelState::Requested);
    barista.hear().await;
    assert_eq!(
        barista.ticket(&order).await,
        ("CANCELLED".to_owned(), 2, false)
    );
    assert_eq!(barista.take().await, []);

    barista.tell().await;
    let cancelled = barista.shop.until(&order, OrderState::Cancelled).await;
    assert!(gives_back(&cancelled), "{cancelled:?}");
    barista.close().await;
}

#[tokio::test]
async fn a_wish_that_comes_after_the_first_drink_is_begun_is_refused() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let drink = barista.take().await.remove(0);
    // Reception has not heard of it.
    let asked = cancel(&barista.shop, &order).await.expect("it is paid");
    assert_eq!(asked.state(), OrderState::Paid);
    barista.hear().await;
    assert_eq!(
        barista.ticket(&order).await,
        ("STARTED".to_owned(), 3, true)
    );
    barista.tell().await;
    let refused = until_decided(&barista.shop, &order).await;
    assert_eq!(refused.state(), OrderState::Preparing);
    assert_eq!(refused.cancel_state(), CancelState::Refused);

    assert!(barista.book(&drink).await);
    barista.tell().await;
    let ready = barista.shop.until_ready(&order).await;
    assert_eq!(ready.cancel_state(), CancelState::Refused);
    barista.close().await;
}

#[tokio::test]
async fn a_wish_that_comes_before_reception_hears_of_ready_is_refused_by_ready() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let drink = barista.take().await.remove(0);
    assert!(barista.book(&drink).await);
    let asked = cancel(&barista.shop, &order).await.expect("it is paid");
    assert_eq!(asked.cancel_state(), CancelState::Requested);
    barista.tell().await;
    let ready = barista.shop.until_ready(&order).await;
    assert_eq!(ready.cancel_state(), CancelState::Refused);

    // The barista's own word, which comes later, changes nothing.
    barista.hear().await;
    assert_eq!(barista.ticket(&order).await, ("READY".to_owned(), 4, true));
    barista.tell().await;
    barista.shop.until_idle().await;
    let now = barista.shop.get(&order.order_id).await;
    assert_eq!(now.expect("it is stored"), ready);
    barista.close().await;
}

#[tokio::test]
async fn a_wish_that_comes_after_ready_is_turned_down() {
    let shop = crate::open().await;
    let order = shop.place(espresso()).await;
    let ready = shop.until_ready(&order).await;
    let refused = cancel(&shop, &order).await.expect_err("it is made");
    turned_down(&refused, "ORDER_NOT_CANCELLABLE", "READY");
    collect(&shop, &order).await.expect("it is ready");
    let refused = cancel(&shop, &order).await.expect_err("it is drunk");
    turned_down(&refused, "ORDER_NOT_CANCELLABLE", "COLLECTED");

    let mut declined = latte();
    declined.payment_token = "tok_declined".to_owned();
    let declined = shop.try_place(declined).await.expect_err("it is declined");
    let info = declined.get_details_error_info().expect("it has one");
    let declined = Order {
        order_id: info.metadata["order_id"].clone(),
        ..ready
    };
    let refused = cancel(&shop, &declined).await.expect_err("it is over");
    turned_down(&refused, "ORDER_NOT_CANCELLABLE", "DECLINED");
    shop.close().await;
}

#[tokio::test]
async fn two_wishes_at_once_are_one() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let shop = &barista.shop;
    let (first, second) = tokio::join!(cancel(shop, &order), cancel(shop, &order));
    let asked = first.expect("it is paid");
    assert_eq!(asked, second.expect("it is paid"));
    assert_eq!(asked.revision, order.revision + 1);
    barista.hear().await;
    barista.tell().await;
    barista.shop.until(&order, OrderState::Cancelled).await;
    let again = cancel(&barista.shop, &order).await;
    let again = again.expect("it is cancelled");
    let details = again.history.iter().map(|entry| entry.detail.as_str());
    let asked = details.filter(|detail| detail.starts_with("asked to cancel"));
    assert_eq!(asked.count(), 1);
    barista.close().await;
}

#[tokio::test]
async fn however_many_wishes_race_with_the_baristas_every_order_ends_in_one_of_two_ways() {
    let shop = crate::open().await;
    let placed = join_all((0..30).map(|_| shop.place(tea_and_latte()))).await;
    join_all(placed.iter().map(|order| cancel(&shop, order))).await;
    shop.until_idle().await;
    let mut ends = Vec::new();
    for order in &placed {
        let end = shop.get(&order.order_id).await.expect("it is stored");
        ends.push((end.state(), end.cancel_state(), gives_back(&end)));
    }
    ends.retain(|end| {
        !matches!(
            end,
            // Nobody had begun; somebody had; or it was made before it could be asked.
            (OrderState::Cancelled, CancelState::Accepted, true)
                | (OrderState::Ready, CancelState::Refused, false)
                | (OrderState::Ready, CancelState::NotRequested, false)
        )
    });
    assert_eq!(ends, []);
    let wasted = "select count(*) from drinks join tickets t using (order_id) \
        where t.state = 'CANCELLED'";
    assert_eq!(count(&shop.barista_pool(), wasted).await, 0);
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_handed_over_once_and_only_when_it_is_ready() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let early = collect(&barista.shop, &order).await;
    turned_down(
        &early.expect_err("it is not made"),
        "ORDER_NOT_READY",
        "PAID",
    );
    let drink = barista.take().await.remove(0);
    assert!(barista.book(&drink).await);
    barista.tell().await;
    let ready = barista.shop.until_ready(&order).await;

    let shop = &barista.shop;
    let (first, second) = tokio::join!(collect(shop, &order), collect(shop, &order));
    let collected = first.expect("it is ready");
    assert_eq!(collected, second.expect("it is ready"));
    assert_eq!(collected.state(), OrderState::Collected);
    assert_eq!(collected.revision, ready.revision + 1);
    let again = collect(shop, &order).await.expect("it was collected");
    assert_eq!(again, collected);
    barista.close().await;
}

#[tokio::test]
async fn an_order_that_does_not_exist_can_be_neither_cancelled_nor_collected() {
    let shop = crate::open().await;
    let nobodys = Order {
        order_id: order_id().to_string(),
        ..Order::default()
    };
    for refused in [
        cancel(&shop, &nobodys).await,
        collect(&shop, &nobodys).await,
    ] {
        let refused = refused.expect_err("there is no such order");
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(reason(&refused), "ORDER_NOT_FOUND");
        let resource = refused.get_details_resource_info().expect("it has one");
        assert_eq!(resource.resource_name, nobodys.order_id);
    }
    shop.close().await;
}

#[tokio::test]
async fn the_launcher_cancels_and_collects_and_says_when_it_cannot() {
    let shop = crate::open().await;
    shift::occupy(&shop, "espresso").await;
    let (wanted, unwanted) = (shop.place(latte()).await, shop.place(latte()).await);
    let early = launch(&shop, "collect", &wanted).await;
    let early = early.expect_err("it is not made");
    assert!(early.contains("ORDER_NOT_READY"), "{early}");
    launch(&shop, "cancel", &unwanted).await.expect("in time");
    let cancelled = shop.get(&unwanted.order_id).await.expect("it is stored");
    assert_eq!(cancelled.state(), OrderState::Cancelled);

    shift::release(&shop).await;
    shop.until_ready(&wanted).await;
    launch(&shop, "collect", &wanted).await.expect("it is made");
    let late = launch(&shop, "cancel", &wanted).await;
    let late = late.expect_err("it is drunk");
    assert!(late.contains("state COLLECTED"), "{late}");
    shop.close().await;
}

#[tokio::test]
async fn the_customers_own_words_stay_in_the_orders_history() {
    let shop = crate::open().await;
    shift::occupy(&shop, "espresso").await;
    let paid = shop.place(latte()).await;
    shop.payments.stop().await.expect("it ends well");
    let unpaid = shop.place(latte()).await;
    for order in [&paid, &unpaid] {
        cancel(&shop, order).await.expect("it is not begun");
        let cancelled = shop.until(order, OrderState::Cancelled).await;
        let kept = |entry: &OrderHistoryEntry| entry.detail.contains(REASON);
        assert!(cancelled.history.iter().any(kept), "{cancelled:?}");
    }
    shop.payments.start().await.expect("it starts again");
    shift::release(&shop).await;
    shop.until_idle().await;
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        let messages = log::read(&shop, &topic).await;
        assert!(messages.iter().any(|message| about(message, &paid)));
        let told = messages.iter().find(|message| holds(message, REASON));
        assert!(told.is_none(), "{told:?}");
    }
    shop.close().await;
}

fn about(message: &OwnedMessage, order: &Order) -> bool {
    message.key() == Some(order.order_id.as_bytes())
}

/// Whether the text is anywhere in the message.
fn holds(message: &OwnedMessage, text: &str) -> bool {
    let payload = String::from_utf8_lossy(message.payload().unwrap_or_default());
    payload.contains(text) || format!("{:?}", log::headers(message)).contains(text)
}

#[tokio::test]
async fn what_a_customer_wants_later_goes_on_in_the_orders_trace() {
    let mut barista = ByHand::open().await;
    let order = barista.queued().await;
    let trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let pool = barista.shop.reception_pool();
    let traced = sqlx::query("update orders set traceparent = $1").bind(&trace);
    traced.execute(&pool).await.expect("the database is up");
    cancel(&barista.shop, &order).await.expect("it is paid");
    let written: Option<String> = sqlx::query_scalar(
        "select traceparent from outbox where event_type like '%.OrderCancelRequested'",
    )
    .fetch_one(&pool)
    .await
    .expect("it was written");
    assert_eq!(written, trace);
    barista.hear().await;
    barista.tell().await;
    barista.shop.until(&order, OrderState::Cancelled).await;
    barista.close().await;
}

#[tokio::test]
async fn a_wish_that_is_lost_on_the_way_is_decided_when_reception_asks() {
    let impatient = Options::default().with(Service::Reception, "RECONCILE_AFTER", "300ms");
    let shop = crate::open_with(impatient).await;
    shift::occupy(&shop, "espresso").await;
    let order = shop.place(latte()).await;
    eventually("a ticket", async || {
        match count(&shop.barista_pool(), "select count(*) from tickets").await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    shop.barista.stop().await.expect("it ends well");
    cancel(&shop, &order).await.expect("it is paid");
    eventually("the wish to be published", async || {
        match count(&shop.reception_pool(), UNSENT).await {
            0 => Ok(()),
            unsent => Err(unsent),
        }
    })
    .await;
    shop.expire_messages(&shop.orders_topic()).await;
    shop.barista.start().await.expect("it starts again");
    let cancelled = shop.until(&order, OrderState::Cancelled).await;
    assert!(gives_back(&cancelled), "{cancelled:?}");
    shift::release(&shop).await;
    shop.close().await;
}

async fn cancel(shop: &Shop, order: &Order) -> Result<Order, Status> {
    let request = CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: REASON.to_owned(),
    };
    let answer = shop.reception_client().cancel_order(request).await?;
    Ok(answer.into_inner().order.expect("the answer holds it"))
}

async fn collect(shop: &Shop, order: &Order) -> Result<Order, Status> {
    let order_id = order.order_id.clone();
    let request = CollectOrderRequest { order_id };
    let answer = shop.reception_client().collect_order(request).await?;
    Ok(answer.into_inner().order.expect("the answer holds it"))
}

/// What somebody types.
async fn launch(shop: &Shop, what: &str, order: &Order) -> Result<(), String> {
    let url = shop.reception.url();
    let words = ["shop", what, &order.order_id, "--reception", &url];
    let launched = Cli::parse_from(words).run().await;
    launched.map_err(|error| format!("{error:#}"))
}

fn turned_down(refused: &Status, reason: &str, state: &str) {
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().expect("it has one");
    let found = (info.reason.as_str(), info.metadata["state"].as_str());
    assert_eq!(found, (reason, state));
}

/// Whether what was charged is owed, or was given back by now.
fn gives_back(order: &Order) -> bool {
    matches!(
        order.refund_state(),
        RefundState::Pending | RefundState::Done
    )
}

/// Waits until the barista has decided.
async fn until_decided(shop: &Shop, order: &Order) -> Order {
    eventually("the wish to be decided", async || {
        match shop.get(&order.order_id).await {
            Ok(order) if order.cancel_state() != CancelState::Requested => Ok(order),
            other => Err(other),
        }
    })
    .await
}

fn tea_and_latte() -> PlaceOrderRequest {
    let mut order = latte();
    order.items = vec![item("tea", "small", 1), item("latte", "large", 1)];
    order
}
