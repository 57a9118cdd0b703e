//! Spans to a collector over OTLP/gRPC.
//!
//! There is always a tracer, even with nowhere to send to: the identity of a span is
//! what logs, Kafka headers and other processes refer to. Which spans are recorded
//! follows `OTEL_TRACES_SAMPLER`; by default all are, and the caller's choice is kept. With
//! nowhere to send to, none is that the caller does not want.

use crate::{
    otlp::{self, Exporter, FLUSH_TIMEOUT},
    spans,
};
use anyhow::Context as _;
use dropped::{Admission, Ledger, Watched};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use rejected::Rejected;
use std::{sync::Arc, time::Duration};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

// Counting the spans that no collector gets.
mod dropped;
// And those that it gets and rejects.
mod rejected;

/// Instrumentation scope of all spans.
const TRACER: &str = "coffeeshop";

/// Settings of the spans.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of traces alone; wins over the other endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    otlp_traces_endpoint: Option<String>,
    /// Whether spans are sent
    #[arg(long, env, value_enum, default_value_t = Exporter::Otlp)]
    otel_traces_exporter: Exporter,
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
    fn processor(
        &self,
        endpoint: &str,
        timeout: Duration,
        ledger: &Arc<Ledger>,
    ) -> anyhow::Result<Admission<BatchSpanProcessor>> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .build()
            .with_context(|| format!("cannot send spans to {endpoint}"))?;
        // A span that finds the queue full is dropped: a call never waits for tracing.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(self.otel_bsp_max_queue_size)
            .with_max_export_batch_size(self.otel_bsp_max_export_batch_size)
            .with_scheduled_delay(Duration::from_millis(self.otel_bsp_schedule_delay))
            .build();
        let queue = BatchSpanProcessor::builder(Watched::new(exporter, ledger.clone()))
            .with_batch_config(config)
            .build();
        let room = self.otel_bsp_max_queue_size;
        Ok(Admission::new(queue, room, ledger.clone()))
    }
}

/// Makes spans, and sends them if there is somewhere to.
pub(crate) struct Provider {
    sdk: SdkTracerProvider,
    /// Of the queue, if there is one.
    ledger: Option<Arc<Ledger>>,
}

impl Provider {
    pub(crate) fn new(
        service_name: &'static str,
        otlp: &otlp::Options,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let builder = SdkTracerProvider::builder().with_resource(otlp.resource(service_name));
        let own = options.otlp_traces_endpoint.as_deref();
        let Some(endpoint) = otlp.endpoint(options.otel_traces_exporter, own) else {
            // Nobody would see what is recorded. A caller who records is passed on as such.
            let off = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
            return Ok(Self {
                sdk: builder.with_sampler(off).build(),
                ledger: None,
            });
        };
        let ledger = Arc::new(Ledger::default());
        let processor = options.processor(endpoint, otlp.timeout(), &ledger)?;
        Ok(Self {
            sdk: builder.with_span_processor(processor).build(),
            ledger: Some(ledger),
        })
    }

    /// Spans have an identity and go nowhere.
    #[cfg(test)]
    pub(crate) fn without_exporter() -> Self {
        let (sdk, ledger) = (SdkTracerProvider::default(), None);
        Self { sdk, ledger }
    }

    /// Hears of spans that the collector rejects.
    pub(crate) fn rejected<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let ledger = self.ledger.clone()?;
        Some(Rejected(ledger).with_filter(rejected::filter()))
    }

    /// Has [`spans`] made by this provider, if they go anywhere. After the meters.
    pub(crate) fn install(&self) {
        if self.ledger.is_some() {
            dropped::count_from_zero();
            spans::install(self.sdk.tracer(TRACER));
        }
    }

    /// Before the meters: what it drops is measured.
    pub(crate) async fn shutdown(self) {
        let end = move || self.sdk.shutdown_with_timeout(FLUSH_TIMEOUT);
        otlp::flush(end, "the last spans may be lost").await;
        let left = self.ledger.map_or(0, |ledger| ledger.give_up());
        if left > 0 {
            tracing::warn!(left, "the last spans were not sent in time");
        }
    }
}

/// Turns the spans of `tracing` into those of OpenTelemetry.
pub(crate) fn layer<S>(provider: &Provider) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.sdk.tracer(TRACER))
        // A line number, a thread and two idle times on every span cost more than they
        // tell.
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
}

/// Apart from the filter of the logs: a quieter log must not tear traces.
pub(crate) fn filter() -> Targets {
    // The exporter would trace its own requests.
    let off = otlp::EXPORTERS.map(|target| (target, LevelFilter::OFF));
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(off)
}

#[cfg(test)]
mod tests;
