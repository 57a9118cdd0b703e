//! Spans to a collector over OTLP/gRPC.
//!
//! There is always a tracer, even with nowhere to send to: the identity of a span is
//! what logs, Kafka headers and other processes refer to. Which spans are recorded
//! follows `OTEL_TRACES_SAMPLER`; by default all are, and the caller's choice is kept.

use crate::otlp::{self, FLUSH_TIMEOUT};
use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};
use std::time::Duration;
use tokio::{task, time};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{filter::Targets, registry::LookupSpan};

/// Settings of the spans.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of traces alone; wins over the other endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    otlp_traces_endpoint: Option<String>,
    /// Spans that may wait to be sent; more are dropped
    #[arg(long, env, default_value_t = 16_384, value_name = "SPANS")]
    otel_bsp_max_queue_size: usize,
    /// Spans sent in one request
    #[arg(long, env, default_value_t = 2_048, value_name = "SPANS")]
    otel_bsp_max_export_batch_size: usize,
    /// Pause between two requests, in milliseconds
    #[arg(long, env, default_value_t = 1_000, value_name = "MS")]
    otel_bsp_schedule_delay: u64,
}

impl Options {
    fn processor(&self, endpoint: &str) -> anyhow::Result<BatchSpanProcessor> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(|| format!("cannot send spans to {endpoint}"))?;
        // A span that finds the queue full is dropped: a call never waits for tracing.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(self.otel_bsp_max_queue_size)
            .with_max_export_batch_size(self.otel_bsp_max_export_batch_size)
            .with_scheduled_delay(Duration::from_millis(self.otel_bsp_schedule_delay))
            .build();
        Ok(BatchSpanProcessor::builder(exporter)
            .with_batch_config(config)
            .build())
    }
}

/// Makes spans, and sends them if there is somewhere to.
pub(crate) struct Provider(SdkTracerProvider);

impl Provider {
    pub(crate) fn new(
        service_name: &'static str,
        otlp: &otlp::Options,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let builder = SdkTracerProvider::builder().with_resource(otlp.resource(service_name));
        let builder = match otlp.endpoint(options.otlp_traces_endpoint.as_deref()) {
            Some(endpoint) => builder.with_span_processor(options.processor(endpoint)?),
            None => builder,
        };
        Ok(Self(builder.build()))
    }

    /// Spans have an identity and go nowhere.
    #[cfg(test)]
    pub(crate) fn without_exporter() -> Self {
        Self(SdkTracerProvider::default())
    }

    pub(crate) async fn shutdown(self) {
        // It blocks its thread until the exporter, which needs the runtime, is done.
        let flush = task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_TIMEOUT));
        match time::timeout(FLUSH_TIMEOUT, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans may be lost"),
            Ok(Err(error)) => tracing::warn!(%error, "the last spans may be lost"),
            Err(_) => tracing::warn!("the last spans may be lost: the collector is too slow"),
        }
    }
}

/// Turns the spans of `tracing` into those of OpenTelemetry.
pub(crate) fn layer<S>(provider: &Provider) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.0.tracer("coffeeshop"))
        // A line number, a thread and two idle times on every span cost more than they
        // tell.
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
}

/// Apart from the filter of the logs: a quieter log must not tear traces.
pub(crate) fn filter() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        // What the exporter itself runs on: it would trace its own requests.
        .with_target("h2", LevelFilter::OFF)
        .with_target("hyper", LevelFilter::OFF)
        .with_target("hyper_util", LevelFilter::OFF)
        .with_target("opentelemetry", LevelFilter::OFF)
        .with_target("tonic", LevelFilter::OFF)
        .with_target("tower", LevelFilter::OFF)
}

#[cfg(test)]
mod tests;
