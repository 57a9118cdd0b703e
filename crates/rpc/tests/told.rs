//! What a transition of a breaker says: one line in the log, and an event in the span of the call that
//! caused it.
//!
//! A process of its own: whoever is the first to tell of a transition registers it with the
//! subscribers that there are at that moment, and the breaker's other tests have none.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use rpc::breaker::{Breaker, Options, Outcome};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time;
use tracing::{Instrument as _, level_filters::LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;

const PAUSE: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

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
    let options = Options {
        circuit_failures: 2,
        circuit_probes: 1,
        circuit_pause: PAUSE,
        circuit_longest_pause: PAUSE,
    };
    let breaker = Breaker::new("payments", &options, PROBE_TIMEOUT);
    for _ in 0..2 {
        let call = breaker.admit().expect("it is closed");
        call.report(Outcome::Failure);
    }
    assert!(breaker.admit().is_err(), "it is open");
    time::advance(PAUSE).await;
    let probe = breaker.admit().expect("it is half-open");
    probe.report(Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn each_transition_is_one_line_and_one_event_of_the_calls_span() {
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
    let subscriber = tracing_subscriber::registry()
        // Not what OpenTelemetry says when it is asked for a meter.
        .with(LevelFilter::INFO)
        .with(tracer)
        .with(log);
    let _guard = tracing::subscriber::set_default(subscriber);
    round().instrument(tracing::info_span!("call")).await;

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
