//! Logs and traces: set up, flushed at exit, and carried across process boundaries.
//!
//! [`init`] installs the process's one `tracing` subscriber: [`logs`] prints events,
//! [`traces`] turns spans into OpenTelemetry's and sends them to a collector if the
//! environment names one. [`propagation`] carries a span's identity through gRPC
//! headers, Kafka headers and database rows, so that one order is one trace.
//!
//! Guaranteed: a collector that is away or slow never delays a call; spans are dropped
//! instead. Not guaranteed: that every span arrives. Nothing but a person may depend on
//! one.

// How an event is printed.
mod logs;
/// A span's identity as strings.
pub mod propagation;
// Spans to OTLP.
mod traces;

use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is printed, and where spans go.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    logs: logs::Options,
    #[command(flatten)]
    traces: traces::Options,
}

/// Flushes what is not yet sent, when asked to.
#[must_use = "spans that are not flushed are lost"]
pub struct Guard(traces::Provider);

impl Guard {
    /// Sends the last spans, within a bound. Last in `main`: later spans go nowhere.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// Installs the subscriber of this process. Once, and inside a tokio runtime, which the
/// exporter uses. Without it, as in tests, spans have no identity and nothing is sent.
pub fn init(service_name: &'static str, options: &Options) -> anyhow::Result<Guard> {
    let provider = traces::Provider::new(service_name, &options.traces)?;
    tracing_subscriber::registry()
        // First: it gives spans the identity that the lines below it print.
        .with(traces::layer(&provider).with_filter(traces::filter()))
        .with(logs::layer(&options.logs)?)
        .try_init()?;
    Ok(Guard(provider))
}
