//! One order is one trace, and it has the spans that somebody looks for and no others.
//!
//! What real processes export, taken by a real collector.

use crate::{
    collector::Collector,
    shift,
    spans::{self, Exported, exported, is_one_tree, trace_of},
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proto::reception::v1::{CancelOrderRequest, CollectOrderRequest, Order, OrderState};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use std::time::Duration;
use telemetry::semconv::{self, outcome};

/// Of an order of one drink. Each drink more is one `brew` more.
const PLAIN: [(&str, &str); 10] = [
    ("barista", "brew"),
    ("barista", "create tickets.v1"),
    ("barista", "process orders.v1"),
    ("barista", "send tickets.v1"),
    ("payments", "coffeeshop.payments.v1.PaymentsService/Charge"),
    ("reception", "coffeeshop.payments.v1.PaymentsService/Charge"),
    (
        "reception",
        "coffeeshop.reception.v1.ReceptionService/PlaceOrder",
    ),
    ("reception", "create orders.v1"),
    ("reception", "process tickets.v1"),
    ("reception", "send orders.v1"),
];

#[tokio::test]
async fn a_plain_order_is_one_tree_of_ten_spans() {
    let collector = Collector::open().await;
    let shop = spans::open(&collector, Options::default()).await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    let trace = trace_of(&order, &exported(&shop, &collector).await);
    assert_eq!(names(&trace), PLAIN, "{trace:#?}");
    assert!(is_one_tree(&trace), "{trace:#?}");
    for process in trace.iter().filter(|one| one.name.starts_with("process ")) {
        let outcome = process.attribute(semconv::INBOX_OUTCOME);
        assert_eq!(outcome.as_deref(), Some(outcome::DONE));
        assert_eq!(process.span.kind(), SpanKind::Consumer);
        assert!(process.is_linked_to(&trace), "to what it continues");
    }
    shop.close().await;
}

#[tokio::test]
async fn what_an_order_waits_for_its_sender_is_one_long_span() {
    const AWAY: Duration = Duration::from_secs(3);
    let collector = Collector::open().await;
    let own_servers = Options {
        own_servers: true,
        ..Options::default()
    };
    let shop = spans::open(&collector, own_servers).await;
    let first = shop.place(latte()).await;
    shop.until_ready(&first).await;
    shop.servers.kafka.pause().await.expect("it runs");
    let order = shop.place(latte()).await;
    // It is the wait that is measured.
    tokio::time::sleep(AWAY).await;
    shop.servers.kafka.resume().await.expect("it is stopped");
    shop.until_ready(&order).await;
    shop.until_idle().await;
    let all = exported(&shop, &collector).await;
    let trace = trace_of(&order, &all);
    assert!(is_one_tree(&trace), "{trace:#?}");
    let send = trace.iter().find(|one| one.name == "send orders.v1");
    let send = send.expect("it was sent");
    let took = Duration::from_nanos(send.span.end_time_unix_nano - send.span.start_time_unix_nano);
    assert!(took >= AWAY, "{took:?}");
    let mut batches = all.iter().filter(|one| one.name == "send_batch orders.v1");
    assert!(batches.any(|batch| batch.is_linked_to(&trace) && !trace_has(&trace, batch)));
    shop.close().await;
}

#[tokio::test]
async fn what_a_customer_wants_later_is_a_trace_of_its_own_linked_to_the_orders() {
    let collector = Collector::open().await;
    let shop = spans::open(&collector, Options::default()).await;
    let collected = shop.place(latte()).await;
    shop.until_ready(&collected).await;
    collect(&shop, &collected).await;
    shift::occupy(&shop, "espresso").await;
    let cancelled = shop.place(latte()).await;
    cancel(&shop, &cancelled).await;
    shop.until(&cancelled, OrderState::Cancelled).await;
    shift::release(&shop).await;
    shop.until_idle().await;
    let all = exported(&shop, &collector).await;
    for (order, wish) in [(&collected, "/CollectOrder"), (&cancelled, "/CancelOrder")] {
        let trace = trace_of(order, &all);
        let call = all.iter().find(|one| one.name.ends_with(wish));
        let call = call.unwrap_or_else(|| panic!("{wish} was exported"));
        assert!(!trace_has(&trace, call), "{wish}");
        assert!(call.is_linked_to(&trace), "{wish}: {call:#?}");
        assert!(is_one_tree(&trace), "{wish}: {trace:#?}");
    }
    let trace = trace_of(&cancelled, &all);
    let refund = trace.iter().filter(|one| one.name.ends_with("/Refund"));
    assert_eq!(refund.count(), 2, "client and server: {trace:#?}");
    shop.close().await;
}

#[tokio::test]
async fn a_charge_that_is_settled_later_stays_in_the_orders_trace() {
    let collector = Collector::open().await;
    let shop = spans::open(&collector, Options::default()).await;
    shop.payments.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    shop.payments.start().await.expect("it starts again");
    shop.until_ready(&order).await;
    shop.until_idle().await;
    let trace = trace_of(&order, &exported(&shop, &collector).await);
    assert!(is_one_tree(&trace), "{trace:#?}");
    let settles = trace.iter().filter(|one| one.name == "settle");
    let settle: Vec<_> = settles.map(|one| one.span.span_id.clone()).collect();
    let create = trace.iter().find(|one| one.name == "create orders.v1");
    let create = create.expect("it was paid");
    assert!(settle.contains(&create.span.parent_span_id), "{trace:#?}");
    shop.close().await;
}

#[tokio::test]
async fn a_drink_that_is_taken_over_is_brewed_again_in_the_same_trace() {
    let collector = Collector::open().await;
    let options = Options::default()
        .with(Service::Barista, "BREW_SCALE", "1")
        .with(Service::Barista, "DRINK_LEASE", "1s");
    let shop = spans::open(&collector, options).await;
    let order = shop.place(latte()).await;
    let brewing = "select count(*) from drinks where state = 'BREWING'";
    eventually("the drink to be taken", async || {
        match crate::count(&shop.barista_pool(), brewing).await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    shop.barista.kill9().await.expect("it runs");
    shop.barista.start().await.expect("it starts again");
    shop.until_ready(&order).await;
    shop.until_idle().await;
    let trace = trace_of(&order, &exported(&shop, &collector).await);
    let brews: Vec<_> = trace.iter().filter(|one| one.name == "brew").collect();
    let [brew] = brews.as_slice() else {
        panic!("whoever was killed has told nothing: {trace:#?}")
    };
    let attempts = &brew.span.attributes;
    let attempt = attempts.iter().find(|a| a.key == semconv::DRINK_ATTEMPT);
    let attempt = format!("{:?}", attempt.and_then(|a| a.value.as_ref()));
    assert!(attempt.contains("IntValue(2)"), "{attempt}");
    shop.close().await;
}

/// Sorted, as they are listed above.
fn names(trace: &[Exported]) -> Vec<(&str, &str)> {
    let names = trace
        .iter()
        .map(|one| (one.service.as_str(), one.name.as_str()));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

fn trace_has(trace: &[Exported], span: &Exported) -> bool {
    trace[0].span.trace_id == span.span.trace_id
}

async fn cancel(shop: &Shop, order: &Order) {
    let request = CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: String::new(),
    };
    let asked = shop.reception_client().cancel_order(request).await;
    asked.expect("it can be asked");
}

async fn collect(shop: &Shop, order: &Order) {
    let order_id = order.order_id.clone();
    let request = CollectOrderRequest { order_id };
    let collected = shop.reception_client().collect_order(request).await;
    collected.expect("it is ready");
}
