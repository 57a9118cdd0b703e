//! Whoever asks to cancel learns the truth, and whatever races with it, an order ends in one of two
//! ways: made and kept, or not made and its money owed.
//!
//! Both outcomes of each race are forced: the test is the barista, or holds one side in an open
//! transaction.

use crate::{
    by_hand::{self, ByHand},
    count,
    handlers::{
        order_event, orders, tell_of_orders, tell_of_tickets, ticket_event, tickets,
        with_a_paid_order, without_orders,
    },
    post::{order_id, process},
    reason, shift,
};
use barista::{store, ticket};
use proto::{
    barista::v1::TicketState,
    reception::v1::{
        CancelOrderRequest, CancelState, CollectOrderRequest, Order, OrderEvent, OrderOverdue,
        OrderState, PaymentState, RefundState, order_event::Event as Case,
    },
};
use shop::{
    customers::{espresso, item, latte},
    harness::{Options, Shop, UNSENT, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

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
    assert_eq!(detail(2), "asked to cancel: changed my mind");

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
async fn a_wish_that_overtakes_its_paid_leaves_a_tombstone_and_nothing_is_made() {
    for paid_first in [false, true] {
        let (shop, order_id) = (without_orders().await, order_id().to_string());
        let paid = order_event(&order_id, OrderState::Paid, 2);
        let mut events = [wish(&order_id, OrderState::Paid, 3), paid];
        if paid_first {
            events.reverse();
        }
        tell_of_orders(&shop, &events).await;
        process(&mut orders(&shop), 2).await;
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
    assert_eq!(again.expect("it is cancelled").revision, order.revision + 2);
    barista.close().await;
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
    let order = crate::handlers::order(&shop).await;
    assert_eq!(order, ("READY".to_owned(), 4));
    shop.discard().await;
}

async fn cancel(shop: &Shop, order: &Order) -> Result<Order, Status> {
    let request = CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: "changed my mind".to_owned(),
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

fn tea_and_latte() -> proto::reception::v1::PlaceOrderRequest {
    let mut order = latte();
    order.items = vec![item("tea", "small", 1), item("latte", "large", 1)];
    order
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
