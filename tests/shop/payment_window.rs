//! An order that is not paid in time is cancelled, and nobody is charged for it in the end.

use crate::{
    count, guarantee_batching,
    money_back::{given_back, happen, one_try, until_money_is},
    payment_keys, payments, reason,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use messaging::outbox::Waker;
use proto::reception::v1::{Order, OrderState, PaymentState, RefundState};
use reception::{
    order::{Event, OrderId},
    payment_window::{self, PaymentWindow},
    store::NewOrder,
};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually, patience},
    services::Service,
};
use std::time::Duration;
use tokio::join;
use tonic::Code;

/// No more than the sweeper asks about at a time, and few enough: a provider that wakes up and finds more than 20
/// calls that nobody waits for any more breaks the connection, and then none is in flight.
const MANY: usize = 8;

#[tokio::test]
async fn time_to_pay_ends_while_payments_is_away_and_the_key_is_closed_when_it_is_back() {
    let shop = crate::open_with(hasty()).await;
    shop.payments.stop().await.expect("it ends well");
    let request = latte();
    let order = shop.place(request.clone()).await;
    let cancelled = shop.until(&order, OrderState::Cancelled).await;
    assert_eq!(cancelled.refund_state(), RefundState::Pending);
    assert_eq!(cancelled.payment_state(), PaymentState::Pending);
    let repeated = shop.place(request).await;
    assert_eq!(repeated, cancelled, "a repeat is told where it stands");

    shop.payments.start().await.expect("it starts again");
    let closed = until_money_is(&shop, &order, RefundState::NotNeeded).await;
    assert_eq!(closed.state(), OrderState::Cancelled);
    let late = charge_with_the_key_of(&shop, &order).await;
    assert_eq!(late, "PAYMENT_CANCELLED");
    shop.close().await;
}

#[tokio::test]
async fn time_to_pay_does_not_wait_for_the_next_try_to_charge_and_the_key_is_due_at_once() {
    let shop = crate::open_with(hasty()).await;
    shop.provider.fail_next(1).await;
    let order = shop.place(latte()).await;
    let put_off = "update orders set settle_time = now() + interval '1 hour', settle_attempts = 20";
    let put_off = sqlx::query(put_off).execute(&shop.reception_pool()).await;
    put_off.expect("the database is up");
    shop.until(&order, OrderState::Cancelled).await;
    until_money_is(&shop, &order, RefundState::NotNeeded).await;
    shop.close().await;
}

#[tokio::test]
async fn only_orders_that_wait_for_longer_are_cancelled_once_by_whoever_looks() {
    let shop = crate::open().await;
    shop.barista.stop().await.expect("it ends well");
    let paid = shop.place(latte()).await;
    shop.payments.stop().await.expect("it ends well");
    let unpaid = place_many(&shop).await;
    shop.reception.stop().await.expect("it ends well");

    assert_eq!(close(&shop, Duration::from_secs(3600)).await, 0);
    let at_once = Duration::from_millis(2);
    let (one, other) = join!(close(&shop, at_once), close(&shop, at_once));
    // Both have found them all; what one has cancelled is over for the other.
    assert_eq!(one + other, unpaid.len());
    shop.reception.start().await.expect("it starts again");
    for order in &unpaid {
        let order = shop.get(&order.order_id).await.expect("it is stored");
        assert_eq!((order.state(), order.revision), (OrderState::Cancelled, 2));
    }
    let paid = shop.get(&paid.order_id).await.expect("it is stored");
    assert_eq!(paid.state(), OrderState::Paid);
    shop.payments.start().await.expect("it starts again");
    shop.barista.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn no_clock_but_the_databases_says_when_time_to_settle_has_come_and_time_to_pay_is_over() {
    let shop = Shop::prepare(Options::default()).await;
    let shop = shop.expect("the databases can be made");
    shop.payments.start().await.expect("it starts");
    shop.reception.start().await.expect("it starts");
    shop.reception.stop().await.expect("it ends well");
    let (hour, quarter) = (TimeDelta::hours(1), Duration::from_secs(15 * 60));
    // Of instances whose clocks are wrong, a moment ago.
    let wrong = [placed_at(Utc::now() - hour), placed_at(Utc::now() + hour)];
    let mut db = shop.reception_pool().acquire().await.expect("it is up");
    let stored = reception::store::insert(&mut db, &wrong).await;
    assert_eq!(stored.expect("they are orders").len(), wrong.len());

    let due_by_another_clock = "select count(*) from orders where settle_time <> store_time";
    let due: i64 = sqlx::query_scalar(due_by_another_clock)
        .fetch_one(&mut *db)
        .await
        .expect("it is up");
    assert_eq!(due, 0, "both can be settled from now on");
    assert_eq!(close(&shop, quarter).await, 0, "it is not over");
    let a_while_ago = "update orders set store_time = now() - interval '16 minutes'";
    let waited = sqlx::query(a_while_ago).execute(&mut *db).await;
    waited.expect("the database is up");
    assert_eq!(close(&shop, quarter).await, wrong.len(), "it is over");
    drop(db);
    shop.discard().await;
}

/// A new order by a clock that shows this time.
fn placed_at(time: DateTime<Utc>) -> NewOrder {
    let mut new = guarantee_batching::new_order();
    let millis = u64::try_from(time.timestamp_millis()).expect("it is after 1970");
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]);
    new.order.order_id = OrderId(id.into_uuid());
    new.order.create_time = time;
    new
}

#[tokio::test]
async fn an_order_that_cannot_be_cancelled_does_not_keep_its_neighbors_waiting() {
    let shop = crate::open().await;
    shop.payments.stop().await.expect("it ends well");
    let unpaid = place_many(&shop).await;
    shop.reception.stop().await.expect("it ends well");
    let refused = &unpaid[1].order_id;
    history(&shop, REVISION_TAKEN, refused).await;

    let at_once = Duration::from_millis(2);
    assert_eq!(close(&shop, at_once).await, unpaid.len() - 1);
    assert_eq!(close(&shop, at_once).await, 0, "it still cannot");
    history(&shop, REVISION_FREE, refused).await;
    assert_eq!(close(&shop, at_once).await, 1);
    shop.reception.start().await.expect("it starts again");
    for order in &unpaid {
        let order = shop.get(&order.order_id).await.expect("it is stored");
        assert_eq!((order.state(), order.revision), (OrderState::Cancelled, 2));
    }
    shop.payments.start().await.expect("it starts again");
    shop.close().await;
}

const REVISION_TAKEN: &str = "insert into order_history (order_id, revision, state, time, detail) \
    values ($1::uuid, 2, 'AWAITING_PAYMENT', now(), 'by hand')";
const REVISION_FREE: &str =
    "delete from order_history where order_id = $1::uuid and detail = 'by hand'";

/// Changes an order's history by hand.
async fn history(shop: &Shop, how: &'static str, order_id: &str) {
    let changed = sqlx::query(how).bind(order_id);
    let changed = changed.execute(&shop.reception_pool()).await;
    assert_eq!(changed.expect("the database is up").rows_affected(), 1);
}

#[tokio::test]
async fn a_window_that_may_be_over_before_the_last_try_to_charge_is_refused_at_the_start() {
    // Longer than one try, shorter than three.
    let options = Options::default().with(Service::Reception, "PAYMENT_WINDOW", "5s");
    let shop = Shop::prepare(options).await;
    let shop = shop.expect("the databases can be made");
    let refused = shop.reception.start().await.expect_err("5 s are too short");
    assert!(format!("{refused:#}").contains("PAYMENT_WINDOW (5s) is over"));
    // It has ended, which is what it was asked.
    drop(shop.reception.stop().await);
    shop.discard().await;
}

#[tokio::test]
async fn a_charge_in_flight_when_the_time_to_pay_ends_is_closed_or_goes_back() {
    let options = Options {
        processes: true,
        ..one_try()
    };
    // The sweeper asks when the customers have left, after five seconds, and still waits for its
    // answer when the window ends.
    let options = options.with(Service::Reception, "CHARGE_TIMEOUT", "6s");
    let options = options.with(Service::Reception, "PAYMENT_WINDOW", "7s");
    // An open circuit would keep what is to be in flight from being sent.
    let options = options.with(Service::Reception, "CIRCUIT_FAILURES", "1000");
    let shop = crate::open_with(options).await;
    for _ in 0..2 {
        shop.payments.pause().await.expect("it runs");
        let orders = place_many(&shop).await;
        until_none_waits(&shop).await;
        shop.payments.resume().await.expect("it was stopped");
        nothing_is_kept(&shop, &orders).await;
    }
    assert!(given_back(&shop).await > 0, "none was in flight");
    shop.close().await;
}

#[tokio::test]
async fn a_charge_in_flight_when_its_order_is_cancelled_is_closed_or_goes_back() {
    let options = Options {
        processes: true,
        ..Options::default()
    };
    let options = options.with(Service::Reception, "CHARGE_TIMEOUT", "30s");
    let shop = crate::open_with(options).await;
    for _ in 0..4 {
        shop.payments.pause().await.expect("it runs");
        let (placed, orders) = join!(place_many(&shop), async {
            let orders = until_stored(&shop).await;
            let asked = Event::CancelRequested {
                reason: String::new(),
            };
            happen(&shop, &orders, &asked).await;
            until_keys_are_being_closed(&shop).await;
            shop.payments.resume().await.expect("it was stopped");
            orders
        });
        assert_eq!(placed.len(), orders.len());
        nothing_is_kept(&shop, &placed).await;
    }
    shop.close().await;
}

#[tokio::test]
async fn whoever_places_an_order_that_is_cancelled_meanwhile_is_told_so() {
    let patient = Options::default().with(Service::Reception, "CHARGE_TIMEOUT", "30s");
    let shop = crate::open_with(patient).await;
    shop.provider.delay_next(1, Duration::from_secs(2)).await;
    let (placed, ()) = join!(shop.place(latte()), async {
        let stored = "select count(*) from orders";
        eventually("the order to be stored", async || {
            match count(&shop.reception_pool(), stored).await {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
        let orders = listed(&shop).await;
        let asked = Event::CancelRequested {
            reason: "it takes too long".to_owned(),
        };
        happen(&shop, &orders, &asked).await;
    });
    assert_eq!(placed.state(), OrderState::Cancelled);
    let revisions: Vec<i64> = placed.history.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, (1..=placed.revision).collect::<Vec<_>>());
    shop.close().await;
}

/// One try of 300 ms, and two seconds to pay.
fn hasty() -> Options {
    one_try()
        .with(Service::Reception, "CHARGE_TIMEOUT", "300ms")
        .with(Service::Reception, "PAYMENT_WINDOW", "2s")
}

async fn place_many(shop: &Shop) -> Vec<Order> {
    let customer = shop.customer();
    let place = |_| customer.place_patiently(latte(), patience());
    let placed = try_join_all((0..MANY).map(place)).await;
    placed.unwrap_or_else(|status| panic!("not acknowledged: {status:?}"))
}

/// One step of a window of its own.
async fn close(shop: &Shop, payment_window: Duration) -> usize {
    let options = payment_window::Options { payment_window };
    let longest_charge = Duration::from_millis(1);
    let window = PaymentWindow::new(
        &shop.reception_pool(),
        &Waker::new(),
        &options,
        longest_charge,
    );
    let closed = window.expect("it is longer than a charge").close().await;
    closed.expect("the database is up")
}

/// The orders that are being placed, once they are all stored.
async fn until_stored(shop: &Shop) -> Vec<Order> {
    let stored = "select count(*) from orders where state = 'AWAITING_PAYMENT'";
    eventually("all orders to be stored", async || {
        match count(&shop.reception_pool(), stored).await {
            stored if stored == MANY as i64 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let mut orders = listed(shop).await;
    orders.retain(|order| order.state() == OrderState::AwaitingPayment);
    orders
}

async fn listed(shop: &Shop) -> Vec<Order> {
    let request = proto::reception::v1::ListOrdersRequest {
        page_size: 100,
        ..Default::default()
    };
    let listed = shop.reception_client().list_orders(request).await;
    listed.expect("reception is up").into_inner().orders
}

async fn until_none_waits(shop: &Shop) {
    let waiting = "select count(*) from orders where state = 'AWAITING_PAYMENT'";
    eventually("the time to pay to be over", async || {
        match count(&shop.reception_pool(), waiting).await {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
}

async fn until_keys_are_being_closed(shop: &Shop) {
    let asked =
        "select count(*) from orders where refund_state = 'PENDING' and settle_attempts > 0";
    eventually("keys to be closed", async || {
        match count(&shop.reception_pool(), asked).await {
            0 => Err(()),
            _ => Ok(()),
        }
    })
    .await;
}

/// Waits until each order knows what became of its money, and asks the provider: either the key is
/// closed for good or the money is back.
async fn nothing_is_kept(shop: &Shop, orders: &[Order]) {
    for order in orders {
        let over = eventually("the money to be settled", async || {
            match shop.get(&order.order_id).await {
                Ok(order) if order.refund_state() != RefundState::Pending => Ok(order),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(over.state(), OrderState::Cancelled);
        let refused = charge_with_the_key_of(shop, order).await;
        match over.refund_state() {
            RefundState::Done => assert_eq!(refused, "PAYMENT_STATE_REFUNDED"),
            _ => assert_eq!(refused, "PAYMENT_CANCELLED"),
        }
    }
}

/// What the provider says to another charge of this order: the state of its payment, or why it has
/// none.
async fn charge_with_the_key_of(shop: &Shop, order: &Order) -> String {
    let request = proto::payments::v1::ChargeRequest {
        idempotency_key: order.order_id.clone(),
        order_id: order.order_id.clone(),
        ..payments::latte()
    };
    match payments::charge(&mut shop.payments_client(), &request).await {
        Ok(payment) => payment.state().as_str_name().to_owned(),
        Err(status) => {
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert_eq!(
                payment_keys::metadata(&status, "idempotency_key"),
                order.order_id
            );
            reason(&status)
        }
    }
}
