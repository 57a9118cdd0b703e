//! Whoever paid and gets no coffee gets the money back, once, whatever breaks on the way.

use crate::{
    count,
    payment_keys::{metadata, refunds},
    reason,
};
use proto::{
    payments::v1::{
        CancelPaymentRequest, GetPaymentRequest, RefundRequest, get_payment_request::By,
    },
    reception::v1::{Order, OrderState, RefundState},
};
use reception::{
    change::{self, Change, Changed},
    order::{Event, OrderId},
};
use shop::{
    customers::latte,
    harness::{Collector, Options, Shop, eventually},
    services::Service,
};
use std::time::Duration;
use telemetry::propagation::TraceContext;

#[tokio::test]
async fn two_receptions_whose_answers_get_lost_refund_each_order_once() {
    let shop = crate::open().await;
    run_out_of_milk(&shop).await;
    let second = crate::second(&shop.reception).await;
    let mut orders = Vec::new();
    for _ in 0..12 {
        orders.push(shop.place(latte()).await);
    }
    shop.provider.lose_next_replies(20).await;
    happen(&shop, &orders, &out_of_milk()).await;
    for order in &orders {
        let refunded = until_money_is(&shop, order, RefundState::Done).await;
        assert_eq!(refunded.state(), OrderState::Failed);
    }
    assert_eq!(refunds(&shop).await, 12);
    let keyed = "select count(*) from refunds r join payments p using (payment_id) \
        where r.idempotency_key = 'refund-' || p.order_id::text";
    assert_eq!(
        count(&shop.payments_pool(), keyed).await,
        12,
        "whoever asks, and however often, asks for the same refund"
    );
    second.stop().await.expect("it ends well");
    shop.barista.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn a_reception_killed_between_the_refund_and_its_record_refunds_once() {
    let options = Options {
        processes: true,
        ..one_try()
    };
    // Longer than the provider takes. For as long nobody asks again after the one who was killed.
    let options = options.with(Service::Reception, "CHARGE_TIMEOUT", "10s");
    let shop = crate::open_with(options).await;
    run_out_of_milk(&shop).await;
    let order = shop.place(latte()).await;
    shop.provider.delay_next(1, Duration::from_secs(5)).await;
    happen(&shop, std::slice::from_ref(&order), &out_of_milk()).await;
    until(
        &shop,
        "select count(*) from orders where settle_attempts > 0",
    )
    .await;
    // Whoever records the refund waits for this lock.
    let mut tx = shop.reception_pool().begin().await.expect("it is up");
    let locked = sqlx::query("select from orders for update")
        .execute(&mut *tx)
        .await;
    locked.expect("nobody else holds it for long");
    eventually("the money to be back", async || {
        match refunds(&shop).await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    shop.reception.kill9().await.expect("it was running");
    tx.rollback().await.expect("the database is up");
    let owed = "select count(*) from orders where refund_state = 'PENDING'";
    assert_eq!(count(&shop.reception_pool(), owed).await, 1);

    shop.reception.start().await.expect("it starts again");
    until_money_is(&shop, &order, RefundState::Done).await;
    assert_eq!(refunds(&shop).await, 1);
    shop.barista.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn a_charge_whose_reply_was_lost_is_given_back_with_its_order() {
    let shop = crate::open_with(one_try()).await;
    shop.provider.lose_next_replies(1).await;
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    let asked = Event::CancelRequested {
        reason: String::new(),
    };
    happen(&shop, std::slice::from_ref(&order), &asked).await;
    let refunded = until_money_is(&shop, &order, RefundState::Done).await;
    assert_eq!(refunded.state(), OrderState::Cancelled);
    assert_eq!(given_back(&shop).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn money_that_was_given_back_by_hand_is_not_given_back_again() {
    let shop = crate::open().await;
    run_out_of_milk(&shop).await;
    let order = shop.place(latte()).await;
    let mut payments = shop.payments_client();
    let by = Some(By::IdempotencyKey(order.order_id.clone()));
    let payment = payments.get_payment(GetPaymentRequest { by }).await;
    let payment = payment.expect("it is charged").into_inner().payment;
    let payment = payment.expect("an answer holds its payment");
    let by_hand = |key: &str| RefundRequest {
        idempotency_key: key.to_owned(),
        payment_id: payment.payment_id.clone(),
        amount: payment.amount.clone(),
        reason: "the customer came to the counter".to_owned(),
    };
    let refunded = payments.refund(by_hand("by-hand")).await;
    refunded.expect("it is charged");
    happen(&shop, std::slice::from_ref(&order), &out_of_milk()).await;
    until_money_is(&shop, &order, RefundState::Done).await;
    let again = payments.refund(by_hand("again")).await;
    let again = again.expect_err("it is back");
    assert_eq!(reason(&again), "PAYMENT_ALREADY_REFUNDED");
    assert_eq!(metadata(&again, "payment_id"), payment.payment_id);
    assert_eq!(refunds(&shop).await, 1);
    shop.barista.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn an_order_whose_key_somebody_else_closed_is_cancelled_with_nothing_kept() {
    let shop = crate::open_with(one_try()).await;
    shop.provider.fail_next(1).await;
    let uncharged = shop.place(latte()).await;
    close_by_hand(&shop, &uncharged).await;
    let closed = shop.until(&uncharged, OrderState::Cancelled).await;
    assert_eq!(closed.refund_state(), RefundState::NotNeeded);

    shop.provider.lose_next_replies(1).await;
    let charged = shop.place(latte()).await;
    close_by_hand(&shop, &charged).await;
    let closed = shop.until(&charged, OrderState::Cancelled).await;
    assert_eq!(closed.refund_state(), RefundState::Done);
    shop.close().await;
}

#[tokio::test]
async fn a_payment_token_is_kept_only_until_its_payment_is_settled_or_given_up() {
    let shop = crate::open_with(one_try()).await;
    let kept = "select count(*) from orders where payment_token is not null";
    let kept = async || count(&shop.reception_pool(), kept).await;
    let paid = shop.place(latte()).await;
    let mut poor = latte();
    poor.payment_token = "tok_declined".to_owned();
    shop.try_place(poor).await.expect_err("it was declined");
    assert_eq!(kept().await, 0, "both are settled");

    shop.provider.fail_next(2).await;
    let orders = [shop.place(latte()).await, shop.place(latte()).await];
    assert_eq!(kept().await, 2, "both are to be charged later");
    let late = Event::WindowOver;
    happen(&shop, &orders[..1], &late).await;
    assert!(kept().await < 2, "one was given up");
    shop.until_ready(&orders[1]).await;
    assert_eq!(kept().await, 0);
    shop.until_ready(&paid).await;
    shop.close().await;
}

const AWAITING_PAYMENT: &str = "coffeeshop.orders.awaiting_payment";
const REFUNDS_OWED: &str = "coffeeshop.refunds.owed";

#[tokio::test]
async fn whoever_operates_the_shop_sees_what_is_not_settled() {
    let collector = Collector::open().await;
    let options = Options {
        processes: true,
        ..Options::default()
    };
    let to = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let options = options
        .with(Service::Reception, to, &collector.endpoint)
        .with(Service::Reception, "OTEL_METRIC_EXPORT_INTERVAL", "100");
    let shop = crate::open_with(options).await;
    shop.payments.stop().await.expect("it ends well");
    let orders = [shop.place(latte()).await, shop.place(latte()).await];
    measured(&collector, (2.0, 0.0)).await;
    happen(&shop, &orders[..1], &Event::WindowOver).await;
    measured(&collector, (1.0, 1.0)).await;
    shop.payments.start().await.expect("it starts again");
    measured(&collector, (0.0, 0.0)).await;
    assert!(collector.last("coffeeshop.settlements") > Some(0.0));
    shop.close().await;
}

async fn measured(collector: &Collector, expected: (f64, f64)) {
    eventually(&format!("{expected:?} to be measured"), async || {
        let last = [AWAITING_PAYMENT, REFUNDS_OWED].map(|name| collector.last(name));
        match last == [Some(expected.0), Some(expected.1)] {
            true => Ok(()),
            false => Err(last),
        }
    })
    .await;
}

/// A call that fails is not sent again while the customer waits.
pub fn one_try() -> Options {
    Options::default().with(Service::Reception, "CALL_ATTEMPTS", "1")
}

fn out_of_milk() -> Event {
    Event::CannotBeMade {
        reason: "out of milk".to_owned(),
    }
}

/// The barista stops, and will find that it cannot make lattes: whatever reception decides by
/// itself meanwhile, nothing is made.
async fn run_out_of_milk(shop: &Shop) {
    shop.barista.stop().await.expect("it ends well");
    let without = "delete from recipes where drink = 'latte' and size = 'large'";
    let withdrawn = sqlx::query(without).execute(&shop.barista_pool()).await;
    withdrawn.expect("the database is up");
}

/// Lets something happen to orders, by reception's own rules.
pub async fn happen(shop: &Shop, orders: &[Order], event: &Event) {
    let changes: Vec<Change> = orders
        .iter()
        .map(|order| Change {
            order_id: OrderId(order.order_id.parse().expect("ids are UUIDs")),
            event: event.clone(),
            ticket_revision: None,
            trace: TraceContext::default(),
        })
        .collect();
    let mut tx = shop.reception_pool().begin().await.expect("it is up");
    let changed = change::apply(&mut tx, &changes).await.expect("it is up");
    tx.commit().await.expect("the database is up");
    let all = changed.iter().all(|c| matches!(c, Changed::Applied(_)));
    assert!(all, "{changed:#?}");
}

/// Waits until this has become of the order's money.
pub async fn until_money_is(shop: &Shop, order: &Order, refund: RefundState) -> Order {
    let what = format!("the money of {} to be {refund:?}", order.order_id);
    eventually(&what, async || match shop.get(&order.order_id).await {
        Ok(order) if order.refund_state() == refund => Ok(order),
        other => Err(other),
    })
    .await
}

/// How many payments the provider has given back.
pub async fn given_back(shop: &Shop) -> i64 {
    let given_back = "select count(*) from payments where state = 'REFUNDED'";
    count(&shop.payments_pool(), given_back).await
}

/// Closes the key of an order at the provider, without reception.
async fn close_by_hand(shop: &Shop, order: &Order) {
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    let idempotency_key = order.order_id.clone();
    let request = CancelPaymentRequest { idempotency_key };
    let closed = shop.payments_client().cancel_payment(request).await;
    closed.expect("the provider is well");
}

/// Waits until this counts something in reception's database.
async fn until(shop: &Shop, question: &'static str) {
    eventually(question, async || {
        match count(&shop.reception_pool(), question).await {
            0 => Err(()),
            _ => Ok(()),
        }
    })
    .await;
}
