//! What a transition says: one line in the log, and an event in the span of the call that caused it.

use super::*;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From closed to open to half-open to closed.
async fn round() {
    let breaker = breaker();
    let first = until_half_open(&breaker).await;
    admitted(&breaker).report(Outcome::Success);
    assert!(breaker.admit().is_err());
    first.report(Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn each_transition_is_one_line_and_one_event_of_the_calls_span() {
    // The other tests have no subscriber. Were one of them the first to tell of a transition while
    // ours is being installed, it could stay switched off.
    round().await;
    let (lines, exporter) = (Lines::default(), InMemorySpanExporter::default());
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone());
    let tracer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(tracer).with(log);
    let _guard = tracing::subscriber::set_default(subscriber);
    // And one that another thread was just registering while ours was installed is asked again.
    tracing::callsite::rebuild_interest_cache();
    let call = tracing::info_span!("call");
    tracing::Instrument::instrument(round(), call).await;

    let text = lines.0.lock().expect("nobody panicked").clone();
    let text = String::from_utf8(text).expect("it is text");
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let [open, half_open, closed] = lines[..] else {
        panic!("{text}");
    };
    assert!(open.starts_with("WARN") && open.contains("circuit open"));
    assert!(half_open.starts_with("WARN") && half_open.contains("circuit half-open"));
    assert!(closed.starts_with("INFO") && closed.contains("circuit closed"));
    let spans = exporter
        .get_finished_spans()
        .expect("nothing was shut down");
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].events.len(), 3, "{:?}", spans[0].events);
}
