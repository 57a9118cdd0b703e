//! What a running shop measures is what docs/telemetry.md says that it measures, no more and no less.

use crate::open_with;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data},
};
use prost::Message as _;
use proto::reception::v1::OrderState;
use shop::{
    customers::latte,
    harness::{Collector, Options, Shop, eventually},
    services::Service,
};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::semconv::metrics;
use uuid::Uuid;

const DOCS: &str = include_str!("../../docs/telemetry.md");
/// No metric of ours needs more, whatever happens in the shop.
const MOST_SERIES: usize = 100;

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_sent() {
    let collector = Collector::open().await;
    let shop = open(&collector).await;
    a_day(&shop).await;

    let documented = documented();
    eventually("all that is documented to be sent", async || {
        let missing = unlike(&documented, &sent(&collector));
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    })
    .await;
    let unknown = unlike(&sent(&collector), &documented);
    assert!(unknown.is_empty(), "sent, and not documented: {unknown:#?}");
    shop.close().await;
}

#[tokio::test]
async fn no_order_makes_a_series_of_its_own() {
    let collector = Collector::open().await;
    let shop = open(&collector).await;
    a_day(&shop).await;
    no_such_method(&shop).await;
    eventually("the last calls to be measured", async || {
        let series = series(&collector);
        let methods = series.get("rpc.server.call.duration").ok_or("none")?;
        let other = |series: &BTreeMap<_, _>| series.values().any(|value| value == "_OTHER");
        if methods.iter().any(other) {
            Ok(())
        } else {
            Err("not that one")
        }
    })
    .await;
    for (metric, series) in series(&collector) {
        assert!(series.len() <= MOST_SERIES, "{metric} has {}", series.len());
        for (key, value) in series.iter().flatten() {
            let is_id = value.parse::<Uuid>().is_ok();
            assert!(!is_id, "{metric} has the id {value} for {key}");
        }
    }
    shop.close().await;
}

#[test]
fn the_table_lists_every_metric_once_and_with_its_unit() {
    let listed: Vec<_> = rows().map(|row| (row.0, row.1.unit)).collect();
    let ours = metrics::ALL.iter();
    let ours: Vec<_> = ours
        .map(|metric| (metric.name.to_owned(), metric.unit.to_owned()))
        .collect();
    let sorted = |mut list: Vec<_>| {
        list.sort();
        list
    };
    assert_eq!(sorted(listed), sorted(ours));
}

/// A shop of processes: each has meters of its own.
async fn open(collector: &Collector) -> Shop {
    let mut options = Options {
        processes: true,
        ..Options::default()
    };
    for service in Service::ALL {
        options = options
            .with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
            .with(service, "OTEL_METRIC_EXPORT_INTERVAL", "500");
    }
    // Nobody is there: its spans are dropped, and counted.
    let nowhere = "http://127.0.0.1:9";
    let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    open_with(options.with(Service::Payments, traces, nowhere)).await
}

/// An order that goes well, and one whose charge is settled later.
async fn a_day(shop: &Shop) {
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.provider.fail_next(1_000_000).await;
    let undecided = shop.place(latte()).await;
    assert_eq!(undecided.state(), OrderState::AwaitingPayment);
    shop.provider.recover().await;
    shop.until_ready(&undecided).await;
}

async fn no_such_method(shop: &Shop) {
    let mut grpc = tonic::client::Grpc::new(shop.reception.channel().expect("the URL is our own"));
    grpc.ready().await.expect("reception is up");
    let made_up = format!(
        "/coffeeshop.reception.v1.ReceptionService/M{}",
        Uuid::new_v4()
    );
    let path = made_up.parse().expect("it is a path");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = grpc.unary(tonic::Request::new(()), path, codec).await;
    assert_eq!(
        answer.expect_err("there is none").code(),
        tonic::Code::Unimplemented
    );
}

/// What a metric is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Like {
    kind: String,
    unit: String,
    attributes: BTreeSet<String>,
}

/// Those of `these` that are not in `those`, or are otherwise there.
fn unlike(
    these: &BTreeMap<String, Like>,
    those: &BTreeMap<String, Like>,
) -> BTreeMap<String, Like> {
    let unlike = these
        .iter()
        .filter(|(name, like)| those.get(*name) != Some(like));
    unlike
        .map(|(name, like)| (name.clone(), like.clone()))
        .collect()
}

fn documented() -> BTreeMap<String, Like> {
    let documented: BTreeMap<_, _> = rows().collect();
    assert!(
        !documented.is_empty(),
        "docs/telemetry.md has a table of metrics"
    );
    documented
}

fn rows() -> impl Iterator<Item = (String, Like)> {
    let (_, section) = DOCS
        .split_once("\n## Metrics\n")
        .expect("there is the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let mut cell = || cells.next().expect("a row has five cells");
        let (name, kind, unit, attributes) = (cell(), cell(), cell(), cell());
        let word = |word: &str| word.trim_matches('`').to_owned();
        let like = Like {
            kind: kind.to_owned(),
            unit: unit.to_owned(),
            attributes: attributes.split_whitespace().map(word).collect(),
        };
        (word(name), like)
    })
}

fn sent(collector: &Collector) -> BTreeMap<String, Like> {
    let mut sent = BTreeMap::<String, Like>::new();
    for metric in exported(collector) {
        let (kind, points) = points(&metric);
        let like = sent.entry(metric.name).or_default();
        (like.kind, like.unit) = (kind.to_owned(), metric.unit);
        let keys = points.into_iter().flatten().map(|attribute| attribute.key);
        like.attributes.extend(keys);
    }
    sent
}

/// By metric: the attributes of each of its series.
fn series(collector: &Collector) -> BTreeMap<String, BTreeSet<BTreeMap<String, String>>> {
    let mut series = BTreeMap::<String, BTreeSet<_>>::new();
    for metric in exported(collector) {
        let (_, points) = points(&metric);
        let all = points.into_iter().map(|attributes| {
            let attributes = attributes.into_iter();
            attributes.map(|a| (a.key.clone(), text(a))).collect()
        });
        series.entry(metric.name).or_default().extend(all);
    }
    series
}

fn exported(collector: &Collector) -> Vec<Metric> {
    let exports = collector.metrics().into_iter().map(|export| {
        let export = ExportMetricsServiceRequest::decode(&*export);
        export.expect("it was encoded by the collector")
    });
    let resources = exports.flat_map(|export| export.resource_metrics);
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn points(metric: &Metric) -> (&'static str, Vec<Vec<KeyValue>>) {
    match metric.data.as_ref().expect("a metric has data") {
        Data::Gauge(gauge) => ("gauge", attributes(&gauge.data_points, |p| &p.attributes)),
        Data::Sum(sum) => {
            let kind = if sum.is_monotonic {
                "counter"
            } else {
                "updowncounter"
            };
            (kind, attributes(&sum.data_points, |p| &p.attributes))
        }
        Data::Histogram(all) => ("histogram", attributes(&all.data_points, |p| &p.attributes)),
        other => panic!(
            "{} is of a kind that we do not send: {other:?}",
            metric.name
        ),
    }
}

fn attributes<P>(points: &[P], of: impl Fn(&P) -> &Vec<KeyValue>) -> Vec<Vec<KeyValue>> {
    points.iter().map(|point| of(point).clone()).collect()
}

fn text(attribute: KeyValue) -> String {
    match attribute.value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}
