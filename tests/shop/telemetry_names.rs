//! Every span and attribute that a shop exports is listed in docs/telemetry.md, and every one listed is
//! exported; and every log line that names an order names its trace.
//!
//! A shop in which all goes well and all goes wrong that leaves a span.

use crate::{
    guarantee_dead_letters::{mend, only_letter, park_an_order},
    money_back::until_money_is,
    privacy::log_of,
    shift, traces,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;
use proto::{
    operations::v1::{
        ReplayDeadLetterRequest, dead_letters_service_client::DeadLettersServiceClient,
    },
    reception::v1::{CancelOrderRequest, CollectOrderRequest, Order, OrderState, RefundState},
};
use shop::{
    customers::latte,
    harness::{Collector, Options, Shop},
    services::Service,
    traces::Span,
};
use std::{collections::BTreeSet, fs};
use telemetry::semconv;

#[tokio::test]
async fn what_a_shop_exports_is_what_is_listed() {
    let (shop, collector) = a_full_day().await;
    let exported = exported(&shop, &collector).await;
    let (listed, emitted) = (listed("## Spans"), names(&shop, &exported));
    assert_eq!(emitted, listed, "spans");
    let (listed, emitted) = (listed_attributes(), attributes(&exported));
    assert_eq!(emitted, listed, "attributes");
    let lines = Service::ALL.map(|service| log_of(&shop, service)).concat();
    every_line_of_an_order_names_its_trace(&String::from_utf8_lossy(&lines));
    and_so_does_every_line_that_is_exported(&collector);
    shop.close().await;
}

/// Orders that are made, collected, declined, cancelled, settled later, and parked.
async fn a_full_day() -> (Shop, Collector) {
    let (shop, collector) = traces::open(Options::default()).await;
    let made = shop.place(latte()).await;
    shop.until_ready(&made).await;
    collect(&shop, &made).await;
    shop.provider.decline_next(1).await;
    let declined = shop.try_place(latte()).await;
    declined.expect_err("the card is declined");
    cancel_an_order(&shop).await;
    settle_an_order(&shop).await;
    replay_an_order(&shop).await;
    shop.until_idle().await;
    (shop, collector)
}

async fn collect(shop: &Shop, order: &Order) {
    let order_id = order.order_id.clone();
    let request = CollectOrderRequest { order_id };
    let collected = shop.reception_client().collect_order(request).await;
    collected.expect("it is ready");
}

/// A paid one, which is refunded.
async fn cancel_an_order(shop: &Shop) {
    shift::occupy(shop, "espresso").await;
    let order = shop.place(latte()).await;
    let request = CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: String::new(),
    };
    let asked = shop.reception_client().cancel_order(request).await;
    asked.expect("it can be asked");
    shop.until(&order, OrderState::Cancelled).await;
    until_money_is(shop, &order, RefundState::Done).await;
    shift::release(shop).await;
}

/// One whose provider is away.
async fn settle_an_order(shop: &Shop) {
    shop.payments.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    shop.payments.start().await.expect("it starts again");
    shop.until_ready(&order).await;
}

/// One whose PAID is a dead letter for a while.
async fn replay_an_order(shop: &Shop) {
    let order = park_an_order(shop).await;
    let letter = only_letter(&shop.barista).await;
    mend(shop).await;
    let channel = shop.barista.channel().expect("the URL is our own");
    let dead_letter_id = letter.dead_letter_id;
    let request = ReplayDeadLetterRequest { dead_letter_id };
    let mut letters = DeadLettersServiceClient::new(channel);
    let replayed = letters.replay_dead_letter(request).await;
    replayed.expect("it is mended");
    shop.until_ready(&order).await;
}

/// All spans that a shop exported. Its services are stopped for it: what they held back is out then.
async fn exported(shop: &Shop, collector: &Collector) -> Vec<Span> {
    for service in Service::ALL {
        shop.service(service).stop().await.expect("it ends well");
    }
    let exports = collector.spans();
    let exports = exports.iter().map(|export| {
        ExportTraceServiceRequest::decode(export.as_slice()).expect("it was one when it came")
    });
    exports.flat_map(Span::all).collect()
}

/// Every call is one name: which calls there are is told by the contracts. Topics are without what
/// makes those of a test its own.
fn names(shop: &Shop, exported: &[Span]) -> BTreeSet<String> {
    let own = format!(".{}", shop.name);
    let names = exported.iter().map(|span| match span.name.contains('/') {
        true => "<package>.<Service>/<Method>".to_owned(),
        false => span.name.replace(&own, ""),
    });
    names.collect()
}

fn attributes(exported: &[Span]) -> BTreeSet<String> {
    let attributes = exported.iter().flat_map(|span| span.attributes.keys());
    attributes.cloned().collect()
}

/// What stands in backquotes in the first column of a section's table.
fn listed(section: &str) -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/telemetry.md");
    let page = fs::read_to_string(page).expect("it is there");
    let mut lines = page.lines().skip_while(|line| *line != section).skip(1);
    let rows = lines.by_ref().take_while(|line| !line.starts_with("## "));
    let rows = rows.filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

fn listed_attributes() -> BTreeSet<String> {
    listed("## Attributes of spans")
}

/// What services print.
fn every_line_of_an_order_names_its_trace(lines: &str) {
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let of_orders = lines
        .iter()
        .filter(|line| line.get(semconv::ORDER_ID).is_some());
    let of_orders: Vec<_> = of_orders.collect();
    let about = |word: &str| of_orders.iter().any(|line| line["message"] == word);
    assert!(about("dead letter") && about("settled"), "{of_orders:#?}");
    for line in of_orders {
        assert!(line["trace_id"].is_string(), "{line}");
    }
    let letters = lines.iter().filter(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("dead letter")
    });
    for line in letters {
        assert!(line.get(semconv::ORDER_ID).is_some(), "{line}");
    }
}

fn and_so_does_every_line_that_is_exported(collector: &Collector) {
    let exports = collector.logs();
    let exports = exports.iter().map(|export| {
        ExportLogsServiceRequest::decode(export.as_slice()).expect("it was one when it came")
    });
    let resources = exports.flat_map(|export| export.resource_logs);
    let scopes = resources.flat_map(|resource| resource.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    let of_orders = records.filter(|record| {
        let mut attributes = record.attributes.iter();
        attributes.any(|attribute| attribute.key == semconv::ORDER_ID)
    });
    let of_orders: Vec<_> = of_orders.collect();
    assert!(!of_orders.is_empty(), "something was said");
    for record in of_orders {
        assert_eq!(record.trace_id.len(), 16, "{record:?}");
    }
}
