//! One order is one trace, whatever breaks on its way: a connected tree of the spans that real
//! processes exported.

use crate::{
    guarantee_dead_letters::{mend, only_letter, park_an_order, replay},
    open_with,
};
use proto::reception::v1::{
    CancelOrderRequest, CollectOrderRequest, Order, OrderState, RefundState,
};
use shop::{
    customers::{espresso, latte},
    harness::{Collector, Options, Shop, eventually},
    services::Service,
    traces::{TraceId, Tree},
};
use std::time::Duration;
use telemetry::semconv::{self, outcome};
use tokio::time::sleep;

/// How long what is taken away is away: longer than anything that is not an outage.
const OUTAGE: Duration = Duration::from_secs(4);

/// In milliseconds: so that a test does not wait for spans that have ended.
const EXPORT_EVERY: &str = "100";

/// Whoever acts on an order, from PlaceOrder to READY, each after what caused it.
const PLAIN: [&str; 10] = [
    "PlaceOrder",
    "PlaceOrder > Charge",
    "PlaceOrder > Charge > Charge",
    "PlaceOrder > create orders.v1",
    "PlaceOrder > create orders.v1 > send orders.v1",
    "PlaceOrder > create orders.v1 > process orders.v1",
    "PlaceOrder > create orders.v1 > process orders.v1 > brew",
    "PlaceOrder > create orders.v1 > process orders.v1 > create tickets.v1",
    "PlaceOrder > create orders.v1 > process orders.v1 > create tickets.v1 > send tickets.v1",
    "PlaceOrder > create orders.v1 > process orders.v1 > create tickets.v1 > process tickets.v1",
];

#[tokio::test]
async fn an_order_is_one_tree_from_place_order_to_ready() {
    let (shop, collector) = open(Options::default()).await;
    let order = shop.place(espresso()).await;
    shop.until_ready(&order).await;
    let tree = tree(&shop, &collector, &order, &PLAIN).await;
    assert_eq!(paths(&shop, &tree), PLAIN);
    let services = tree.spans().into_iter().map(|span| span.service.as_str());
    let mut services: Vec<&str> = services.collect();
    services.sort_unstable();
    services.dedup();
    assert_eq!(services, ["barista", "payments", "reception"]);
    for process in tree.spans() {
        if process.short_name().starts_with("process ") {
            assert_eq!(process.attributes[semconv::INBOX_OUTCOME], outcome::DONE);
            let creates = process.links.iter().map(|link| Some(&link.span_id));
            assert!(creates.eq([process.parent.as_ref()]), "{process:?}");
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn an_order_placed_while_kafka_was_away_shows_how_long_it_waited() {
    let own_servers = Options {
        own_servers: true,
        ..Options::default()
    };
    let (shop, collector) = open(own_servers).await;
    let before = shop.place(espresso()).await;
    shop.until_ready(&before).await;
    shop.servers.kafka.kill9().await.expect("it runs");
    let order = shop.place(latte()).await;
    sleep(OUTAGE).await;
    shop.servers.kafka.restart().await.expect("it starts again");
    shop.until_ready(&order).await;

    let tree = tree(&shop, &collector, &order, &PLAIN).await;
    assert_eq!(paths(&shop, &tree), PLAIN);
    let send = format!("send {}", shop.orders_topic());
    let sent: Vec<_> = tree
        .named(&send)
        .iter()
        .map(|span| span.duration())
        .collect();
    assert!(sent.len() == 1 && sent[0] >= OUTAGE, "{sent:?}");
    // No order is the parent of a batch.
    let trace = shop.trace_of(&order.order_id).await;
    linked_to(
        &collector,
        &trace,
        &format!("send_batch {}", shop.orders_topic()),
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_drink_that_another_barista_took_over_stays_in_the_tree_of_its_order() {
    // Six seconds for an espresso: far longer than it takes to see it begun and to kill.
    let slow = Options::default()
        .with(Service::Barista, "BREW_SCALE", "4")
        .with(Service::Barista, "DRINK_LEASE", "500ms");
    let (shop, collector) = open(slow).await;
    let order = shop.place(espresso()).await;
    shop.until(&order, OrderState::Preparing).await;
    // What was not yet sent would die with it.
    let begun = ["PlaceOrder > create orders.v1 > process orders.v1"];
    tree(&shop, &collector, &order, &begun).await;
    shop.barista.kill9().await.expect("it runs");
    shop.barista.start().await.expect("it starts again");
    shop.until_ready(&order).await;

    let tree = tree(&shop, &collector, &order, &PLAIN).await;
    let attempts: Vec<_> = tree
        .named("brew")
        .iter()
        .map(|span| span.attributes["coffeeshop.drink.attempt"].clone())
        .collect();
    // What was killed could not tell of its own.
    assert_eq!(attempts, ["2"]);
    shop.close().await;
}

#[tokio::test]
async fn a_charge_that_was_settled_later_stays_in_the_tree_of_its_order() {
    let (shop, collector) = open(Options::default()).await;
    shop.payments.kill9().await.expect("it runs");
    let order = shop.place(espresso()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    shop.payments.start().await.expect("it starts again");
    shop.until_ready(&order).await;

    let settled = [
        "PlaceOrder > settle",
        "PlaceOrder > settle > Charge > Charge",
        "PlaceOrder > settle > create orders.v1 > process orders.v1 > brew",
    ];
    let tree = tree(&shop, &collector, &order, &settled).await;
    assert!(tree.named("Charge").iter().any(|span| span.error.is_some()));
    shop.close().await;
}

#[tokio::test]
async fn a_refund_stays_in_the_tree_of_its_order_and_the_wish_is_linked_to_it() {
    let (shop, collector) = open(Options::default()).await;
    shop.barista.kill9().await.expect("it runs");
    let order = shop.place(espresso()).await;
    let wish = CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: "changed my mind".to_owned(),
    };
    let wished = shop.reception_client().cancel_order(wish).await;
    wished.expect("nobody has begun it");
    shop.barista.start().await.expect("it starts again");
    eventually("the money to be back", async || {
        match shop.get(&order.order_id).await {
            Ok(order) if order.refund_state() == RefundState::Done => Ok(()),
            other => Err(other),
        }
    })
    .await;

    let refunded = ["PlaceOrder > settle > Refund > Refund"];
    tree(&shop, &collector, &order, &refunded).await;
    let trace = shop.trace_of(&order.order_id).await;
    linked_to(&collector, &trace, "CancelOrder").await;
    shop.close().await;
}

#[tokio::test]
async fn collecting_an_order_is_a_trace_of_its_own_that_is_linked_to_it() {
    let (shop, collector) = open(Options::default()).await;
    let order = shop.place(espresso()).await;
    shop.until_ready(&order).await;
    let order_id = order.order_id.clone();
    let request = CollectOrderRequest { order_id };
    let collected = shop.reception_client().collect_order(request).await;
    collected.expect("it is ready");

    let tree = tree(&shop, &collector, &order, &PLAIN).await;
    assert!(tree.named("CollectOrder").is_empty());
    let trace = shop.trace_of(&order.order_id).await;
    linked_to(&collector, &trace, "CollectOrder").await;
    shop.close().await;
}

#[tokio::test]
async fn a_dead_letter_that_was_replayed_stays_in_the_tree_of_its_order() {
    let (shop, collector) = open(Options::default()).await;
    let order = park_an_order(&shop).await;
    let letter = only_letter(&shop.barista).await;
    mend(&shop).await;
    replay(&shop, &letter)
        .await
        .expect("what was wrong is mended");
    shop.until_ready(&order).await;

    let replayed = ["PlaceOrder > create orders.v1 > replay orders.v1 > brew"];
    tree(&shop, &collector, &order, &replayed).await;
    shop.close().await;
}

/// Waits for a span of another trace that is linked to this one.
async fn linked_to(collector: &Collector, trace: &TraceId, name: &str) {
    eventually(name, async || {
        let linked = collector.linked(trace);
        let found = linked.iter().any(|span| span.short_name() == name);
        found.then_some(()).ok_or(linked)
    })
    .await;
}

/// A shop of processes, and what they export.
pub async fn open(options: Options) -> (Shop, Collector) {
    let collector = Collector::open().await;
    let mut options = Options {
        processes: true,
        ..options
    };
    for service in Service::ALL {
        options = options.with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
        options = options.with(service, "OTEL_BSP_SCHEDULE_DELAY", EXPORT_EVERY);
    }
    (open_with(options).await, collector)
}

/// The order's trace, once it is one connected tree that holds these paths.
async fn tree(shop: &Shop, collector: &Collector, order: &Order, holds: &[&str]) -> Tree {
    let trace = shop.trace_of(&order.order_id).await;
    eventually("the trace to be whole", async || {
        let tree = collector.tree(&trace);
        let paths = paths(shop, &tree);
        let whole = holds.iter().all(|path| paths.iter().any(|is| is == path));
        match tree.connected() {
            Ok(()) if whole => Ok(tree),
            torn => Err((torn, paths)),
        }
    })
    .await
}

/// What led to each span, by its topic's name without what the test's shop adds.
fn paths(shop: &Shop, tree: &Tree) -> Vec<String> {
    let own = format!(".{}", shop.name);
    let paths = tree.paths().into_iter();
    paths.map(|path| path.replace(&own, "")).collect()
}
