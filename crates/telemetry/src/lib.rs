//! Logs, traces and metrics: set up, flushed at exit, and carried across process boundaries.
//!
//! [`init`] installs the process's one `tracing` subscriber: [`logs`] prints events,
//! [`traces`] turns spans into OpenTelemetry's and sends them to a collector if the
//! environment names one, and so are metrics and what is printed. [`spans`] makes those that the
//! macros cannot. [`propagation`] carries a span's identity through gRPC headers, Kafka headers
//! and database rows, so that one order is one trace.
//!
//! Guaranteed: a collector that is away or slow never delays a call; spans are dropped
//! instead, and counted. Not guaranteed: that every span arrives. Nothing but a person may depend on
//! one.

// How an event is printed.
mod logs;
// Measurements to OTLP.
mod metrics;
// Where all of it goes.
mod otlp;
// What a process takes of its machine.
mod process;
/// A span's identity as strings.
pub mod propagation;
/// The names of all that is exported.
pub mod semconv;
/// Spans that macros cannot make.
pub mod spans;
// Spans to OTLP.
mod traces;

use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is printed, and where spans, metrics and logs go.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    logs: logs::Options,
    #[command(flatten)]
    otlp: otlp::Options,
    #[command(flatten)]
    traces: traces::Options,
    #[command(flatten)]
    metrics: metrics::Options,
    #[command(flatten)]
    lines: logs::export::Options,
}

/// Flushes what is not yet sent, when asked to.
#[must_use = "spans and metrics that are not flushed are lost"]
pub struct Guard {
    traces: traces::Provider,
    metrics: metrics::Provider,
    lines: logs::export::Provider,
}

impl Guard {
    /// Sends the last spans, metrics and lines, within a bound. Last in `main`: later ones go
    /// nowhere.
    pub async fn shutdown(self) {
        self.traces.shutdown().await;
        // What the spans' end had to count and to say is among them.
        tokio::join!(self.metrics.shutdown(), self.lines.shutdown());
    }
}

/// Installs the subscriber and the meters of this process. Once, and inside a tokio
/// runtime, which the exporters use. Without it, as in tests, spans have no identity and
/// nothing is sent.
pub fn init(service_name: &'static str, options: &Options) -> anyhow::Result<Guard> {
    let traces = traces::Provider::new(service_name, &options.otlp, &options.traces)?;
    let metrics = metrics::Provider::new(service_name, &options.otlp, &options.metrics)?;
    let lines = logs::export::Provider::new(service_name, &options.otlp, &options.lines)?;
    tracing_subscriber::registry()
        // First: it gives spans the identity that the lines below it print.
        .with(traces::layer(&traces).with_filter(traces::filter()))
        .with(traces.rejected())
        .with(logs::layer(&options.logs)?)
        .with(lines.layer(&options.logs)?)
        .try_init()?;
    metrics.install();
    traces.install();
    Ok(Guard {
        traces,
        metrics,
        lines,
    })
}
