//! The traces as people look at them: in a real Jaeger, by the id of an order.

use crate::open_with;
use clap::Parser;
use proto::reception::v1::Order;
use server::Jaeger;
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use std::{path::PathBuf, time::Duration};
use tokio::time::sleep;

/// A Jaeger, and its answers.
mod server;

const OUTAGE: Duration = Duration::from_secs(4);
const ORDERS: usize = 5;

#[derive(Parser)]
struct Settings {
    /// The program, as `make test-jaeger` builds it.
    #[arg(long, env = "JAEGER")]
    jaeger: PathBuf,
}

#[tokio::test]
#[ignore = "needs a Jaeger: make test-jaeger"]
async fn jaeger_shows_each_order_as_one_tree_also_across_a_broker_outage() {
    let settings = Settings::parse_from(["test"]);
    let jaeger = Jaeger::start(&settings.jaeger).await;
    let shop = open(&jaeger).await;
    let before = place(&shop).await;
    shop.servers.kafka.kill9().await.expect("it runs");
    let during = place(&shop).await;
    sleep(OUTAGE).await;
    shop.servers.kafka.restart().await.expect("it starts again");
    let after = place(&shop).await;
    for order in before.iter().chain(&during).chain(&after) {
        shop.until_ready(order).await;
        whole(&shop, &jaeger, order).await;
    }
    for order in &during {
        let waited = waited(&shop, &jaeger, order).await;
        assert!(waited >= OUTAGE, "{}: {waited:?}", order.order_id);
    }
    shop.close().await;
}

async fn open(jaeger: &Jaeger) -> Shop {
    let mut options = Options {
        processes: true,
        own_servers: true,
        ..Options::default()
    };
    for service in Service::ALL {
        options = options.with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &jaeger.endpoint);
    }
    open_with(options).await
}

async fn place(shop: &Shop) -> Vec<Order> {
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        orders.push(shop.place(latte()).await);
    }
    orders
}

/// Waits until the order is one tree with a span of every step.
async fn whole(shop: &Shop, jaeger: &Jaeger, order: &Order) {
    eventually("Jaeger to show the order as one tree", async || {
        let tree = jaeger.trace_of(&order.order_id).await;
        let paths = tree.paths();
        let (to, from) = (shop.orders_topic(), shop.tickets_topic());
        let steps = [
            "PlaceOrder".to_owned(),
            "PlaceOrder > Charge > Charge".to_owned(),
            format!("> send {to}"),
            format!("> process {to} > brew"),
            format!("> send {from}"),
            format!("> process {from}"),
        ];
        let missing = |step: &&String| !paths.iter().any(|path| path.ends_with(*step));
        let missing: Vec<_> = steps.iter().filter(missing).cloned().collect();
        let services = ["reception", "barista", "payments"];
        let took_part = |service: &&str| tree.spans().iter().any(|span| span.service == **service);
        match tree.connected() {
            Ok(()) if missing.is_empty() && services.iter().all(took_part) => Ok(()),
            torn => Err((torn, missing, paths)),
        }
    })
    .await;
}

/// How long the order's event waited for Kafka.
async fn waited(shop: &Shop, jaeger: &Jaeger, order: &Order) -> Duration {
    let tree = jaeger.trace_of(&order.order_id).await;
    let sent = tree.named(&format!("send {}", shop.orders_topic()));
    sent.iter()
        .map(|span| span.duration())
        .max()
        .unwrap_or_default()
}
