use super::{Lines, Options, filter};
use crate::traces::{self, Provider};
use clap::Parser;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics here").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is printed for an event inside a span, inside another one.
fn printed(lines: Lines) -> String {
    let output = Output::default();
    let provider = Provider::without_exporter();
    let writer = output.clone();
    let subscriber = tracing_subscriber::registry()
        .with(traces::layer(&provider))
        .with(lines.layer(move || writer.clone(), false));
    tracing::subscriber::with_default(subscriber, || {
        let call = tracing::info_span!(
            "call",
            otel.kind = "server",
            coffeeshop.order.id = "7",
            tries = 1
        );
        let _in_call = call.enter();
        let _in_step = tracing::info_span!("step", tries = 2).entered();
        tracing::warn!(cups = 3, "out of milk");
    });
    let bytes = output.0.lock().expect("nobody panics here").clone();
    String::from_utf8(bytes).expect("lines are UTF-8")
}

#[test]
fn a_json_line_holds_event_span_order_and_trace() {
    let line: serde_json::Value = serde_json::from_str(&printed(Lines::Json)).expect("it is JSON");
    assert_eq!(line["message"], "out of milk");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["target"], "telemetry::logs::tests");
    assert_eq!(line["cups"], 3);
    assert_eq!(line["coffeeshop.order.id"], "7");
    assert_eq!(line["tries"], 2, "the inner span's");
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
    assert!(line.get("otel.kind").is_none());
    assert!(line["timestamp"].is_string());
}

#[test]
fn a_human_line_is_short_and_holds_order_and_trace() {
    let line = printed(Lines::Human);
    assert!(
        line.contains(
            " WARN telemetry::logs::tests: out of milk cups=3 coffeeshop.order.id=7 trace_id="
        ),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    assert!(!line.contains("tries"), "{line}");
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    logs: Options,
}

#[test]
fn exports_that_fail_have_no_lines_unless_they_are_asked_for() {
    let said = |arguments: &[&str]| {
        let output = Output::default();
        let writer = output.clone();
        let options = Command::parse_from(arguments).logs;
        let lines = Lines::Human.layer(move || writer.clone(), false);
        let lines = lines.with_filter(filter(&options).expect("it is a filter"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::error!(target: "opentelemetry_sdk", "a batch");
            tracing::error!(target: "opentelemetry-otlp", "its export");
        });
        let bytes = output.0.lock().expect("nobody panics here").clone();
        String::from_utf8(bytes)
            .expect("lines are UTF-8")
            .lines()
            .count()
    };
    assert_eq!(said(&["service"]), 0);
    assert_eq!(said(&["service", "--log", "info"]), 2);
}
