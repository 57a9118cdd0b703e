//! Log lines to a collector over OTLP/gRPC: those that are printed, with the same filter.
//!
//! A line that is written inside a span carries its trace; one inside a span that knows its order
//! carries that, too.
//!
//! Not guaranteed: any line while the collector is away. What is printed is the log.

use crate::otlp::{self, Exporter, FLUSH_TIMEOUT};
use anyhow::Context as _;
use opentelemetry_appender_tracing::layer::{OpenTelemetryTracingBridge, TracingSpanAttributes};
use opentelemetry_otlp::{LogExporter, WithExportConfig as _};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer, registry::LookupSpan};

/// Settings of the lines that are sent.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of logs alone; wins over the other endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value_name = "URL")]
    otlp_logs_endpoint: Option<String>,
    /// Whether logs are sent
    #[arg(long, env, value_enum, default_value_t = Exporter::Otlp)]
    otel_logs_exporter: Exporter,
}

/// Sends what is logged, if there is somewhere to.
pub(crate) struct Provider(Option<SdkLoggerProvider>);

impl Provider {
    pub(crate) fn new(
        service_name: &'static str,
        otlp: &otlp::Options,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let own = options.otlp_logs_endpoint.as_deref();
        let Some(endpoint) = otlp.endpoint(options.otel_logs_exporter, own) else {
            return Ok(Self(None));
        };
        let exporter = LogExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(otlp.timeout())
            .build()
            .with_context(|| format!("cannot send logs to {endpoint}"))?;
        // A line that finds the queue full is dropped: nobody waits for the collector.
        let provider = SdkLoggerProvider::builder()
            .with_resource(otlp.resource(service_name))
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(Some(provider)))
    }

    /// Hands over what passes the filter of the lines that are printed.
    pub(crate) fn layer<S>(
        &self,
        lines: &super::Options,
    ) -> anyhow::Result<Option<impl Layer<S> + use<S>>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let Some(provider) = &self.0 else {
            return Ok(None);
        };
        let order = TracingSpanAttributes::allowlist([crate::semconv::ORDER_ID]);
        let bridge = OpenTelemetryTracingBridge::builder(provider)
            .with_tracing_span_attributes(order)
            .build();
        Ok(Some(bridge.with_filter(filter(lines)?)))
    }

    pub(crate) async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        let end = move || provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        otlp::flush(end, "the last log lines may not be sent").await;
    }
}

/// Without the exporters and what they run on: each line sent would be the cause of more.
fn filter(lines: &super::Options) -> anyhow::Result<EnvFilter> {
    let silent = otlp::EXPORTERS.iter().map(|target| {
        let directive = format!("{target}=off").parse();
        directive.expect("a target and a level")
    });
    Ok(silent.fold(super::filter(lines)?, EnvFilter::add_directive))
}
