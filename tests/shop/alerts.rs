//! Alerts and dashboards, asked of a real Prometheus that hears a real shop.
//!
//! They take the Prometheus of `make test-alerts`. Without it they are skipped, and say so.

use crate::{
    open_with,
    prometheus::{Prometheus, list, sped_up, text},
};
use proto::reception::v1::{Order, OrderState};
use serde_json::Value;
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};
use tonic::Code;

const RULES: &str = include_str!("../../deploy/alerts/coffeeshop.rules.yml");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
/// How long Grafana's windows are here: metrics come twice a second.
const WINDOW: &str = "20s";

#[tokio::test]
#[ignore = "needs Prometheus: make test-alerts"]
async fn every_query_has_an_answer_and_an_outage_of_kafka_is_told_and_cleared() {
    let Some(prometheus) = Prometheus::open().await else {
        eprintln!("SKIPPED: dashboards and alerts: no Prometheus; make test-alerts builds one");
        return;
    };
    let shop = open(&prometheus).await;
    a_day(&shop).await;
    every_dashboard_has_its_data(&prometheus).await;
    every_rule_has_its_data(&prometheus).await;

    assert_eq!(prometheus.state("OutboxBehind").await, None);
    shop.servers.kafka.kill9().await.expect("it runs");
    let order = shop.place(latte()).await;
    until(&prometheus, "OutboxBehind", Some("pending")).await;
    until(&prometheus, "OutboxBehind", Some("firing")).await;
    shop.servers.kafka.restart().await.expect("it starts again");
    until(&prometheus, "OutboxBehind", None).await;
    shop.until_ready(&order).await;
    shop.close().await;
}

#[test]
fn every_alert_has_its_page_in_the_runbook_and_no_page_is_left_over() {
    let lines = || RULES.lines().map(str::trim);
    let names = lines().filter_map(|line| line.strip_prefix("- alert: "));
    let links = lines().filter_map(|line| line.strip_prefix("runbook_url: docs/runbook.md#"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    let anchors: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(
        links.collect::<Vec<_>>(),
        anchors,
        "each links to its own page"
    );
    let pages = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## "));
    let pages: BTreeSet<String> = pages.map(str::to_owned).collect();
    assert_eq!(pages, names.into_iter().collect());
}

#[test]
fn a_rule_that_is_sped_up_differs_in_nothing_but_its_durations() {
    let rule = "        for: 2m\n  rate(x{le=~\"60([.]0)?\"}[1d]) > 30 # for: ever [5m]";
    let faster = "        for: 2s\n  rate(x{le=~\"60([.]0)?\"}[24m]) > 30 # for: ever [5s]";
    assert_eq!(sped_up(rule), faster);
}

/// Its Kafka will be killed; its door is narrow, so that somebody is refused.
async fn open(prometheus: &Prometheus) -> Shop {
    let mut options = Options {
        own_servers: true,
        processes: true,
        ..Options::default()
    };
    for service in Service::ALL {
        let endpoint = &prometheus.endpoint;
        options = options
            .with(service, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint)
            // Nobody is there: spans are dropped.
            .with(
                service,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://127.0.0.1:9",
            )
            .with(service, "OTEL_METRIC_EXPORT_INTERVAL", "500");
    }
    open_with(options.with(Service::Reception, "MAX_PLACING", "1")).await
}

/// An order that goes well, one that is refused at the door, one whose charge is settled later.
async fn a_day(shop: &Shop) {
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    let slow = one_of_two(shop).await;
    shop.provider.fail_next(1_000_000).await;
    let undecided = shop.place(latte()).await;
    assert_eq!(undecided.state(), OrderState::AwaitingPayment);
    shop.provider.recover().await;
    for order in [&slow, &undecided] {
        shop.until_ready(order).await;
    }
}

/// Of two who come at a time and slowly the door takes one, whichever is the first.
async fn one_of_two(shop: &Shop) -> Order {
    eventually("one of two to be refused", async || {
        let slowly = Duration::from_millis(500);
        shop.provider.delay_next(1, slowly).await;
        let (one, other) = tokio::join!(shop.try_place(latte()), shop.try_place(latte()));
        match (one, other) {
            (Ok(order), Err(status)) | (Err(status), Ok(order))
                if status.code() == Code::ResourceExhausted =>
            {
                Ok(order)
            }
            others => Err(others),
        }
    })
    .await
}

async fn every_dashboard_has_its_data(prometheus: &Prometheus) {
    let queries = dashboards();
    assert!(queries.len() > 50, "there are dashboards: {queries:?}");
    for (panel, query) in queries {
        let query = query
            .replace("$__rate_interval", WINDOW)
            .replace("$__range", WINDOW);
        has_data(prometheus, &panel, &query).await;
    }
}

/// An alert is quiet while all is well: then what it compares must be there.
async fn every_rule_has_its_data(prometheus: &Prometheus) {
    let rules = prometheus.rules().await;
    assert!(!rules.is_empty(), "the rules are loaded");
    for (name, expression) in rules {
        let parsed = prometheus.parsed(&expression).await;
        let parsed = parsed.unwrap_or_else(|error| panic!("{name}: {expression}: {error}"));
        let mut selectors = Vec::new();
        collect_selectors(&parsed, &mut selectors);
        assert!(
            !selectors.is_empty(),
            "{name} looks at something: {expression}"
        );
        for selector in selectors {
            has_data(prometheus, &name, &selector).await;
        }
    }
}

async fn has_data(prometheus: &Prometheus, of: &str, query: &str) {
    let what = format!("data for {of}: {query}");
    eventually(&what, async || {
        let series = prometheus.series(query).await?;
        let samples = series.iter().flat_map(|series| list(&series["values"]));
        let numbers = samples.filter(|sample| sample[1] != "NaN").count();
        if numbers > 0 {
            Ok(())
        } else {
            Err(format!("{} series without a number", series.len()))
        }
    })
    .await;
}

/// What every panel of every dashboard asks, with its title.
fn dashboards() -> Vec<(String, String)> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dashboards"));
    let files = fs::read_dir(dir).expect("there are dashboards");
    let files = files.map(|file| file.expect("it can be listed").path());
    let boards = files.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let mut queries = Vec::new();
    for board in boards {
        let board = fs::read_to_string(board).expect("it can be read");
        let board: Value = serde_json::from_str(&board).expect("it is JSON");
        for panel in list(&board["panels"]) {
            let title = format!("{} / {}", text(&board["title"]), text(&panel["title"]));
            let of = list(&panel["targets"]);
            queries.extend(
                of.iter()
                    .map(|target| (title.clone(), text(&target["expr"]))),
            );
        }
    }
    queries
}

/// The vector selectors of a parsed expression, as expressions.
fn collect_selectors(parsed: &Value, into: &mut Vec<String>) {
    match parsed {
        Value::Object(node) => {
            let kind = parsed["type"].as_str().unwrap_or_default();
            if matches!(kind, "vectorSelector" | "matrixSelector") {
                let matchers = list(&parsed["matchers"]);
                let matchers = matchers.iter().map(|matcher| {
                    let (name, kind) = (text(&matcher["name"]), text(&matcher["type"]));
                    format!("{name}{kind}{}", matcher["value"])
                });
                into.push(format!("{{{}}}", matchers.collect::<Vec<_>>().join(",")));
                return;
            }
            node.values()
                .for_each(|value| collect_selectors(value, into));
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| collect_selectors(node, into)),
        _ => {}
    }
}

async fn until(prometheus: &Prometheus, alert: &str, state: Option<&str>) {
    let what = format!("{alert} to be {}", state.unwrap_or("over"));
    eventually(&what, async || {
        let seen = prometheus.state(alert).await;
        if seen.as_deref() == state {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}
