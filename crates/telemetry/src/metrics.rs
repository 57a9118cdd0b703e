//! Metrics to a collector over OTLP/gRPC.
//!
//! Whoever measures takes a meter from `opentelemetry::global` and need not know whether
//! anybody collects. With nowhere to send to, that meter is one that does nothing: a
//! measurement is then a call that returns.
//!
//! Not guaranteed: anything after a collector was away but the latest values. They are
//! cumulative, so a gap in time is no gap in a count.

use crate::{
    otlp::{self, Exporter, FLUSH_TIMEOUT},
    process,
};
use anyhow::Context as _;
use opentelemetry_otlp::{MetricExporter, WithExportConfig as _};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use std::time::Duration;

/// Settings of the metrics.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of metrics alone; wins over the other endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL")]
    otlp_metrics_endpoint: Option<String>,
    /// Whether metrics are sent
    #[arg(long, env, value_enum, default_value_t = Exporter::Otlp)]
    otel_metrics_exporter: Exporter,
    /// Pause between two exports of metrics, in milliseconds
    // The specification's default of a minute is longer than most of what goes wrong.
    #[arg(long, env, default_value_t = 10_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    otel_metric_export_interval: u64,
}

impl Options {
    fn reader(&self, endpoint: &str) -> anyhow::Result<PeriodicReader<MetricExporter>> {
        let exporter = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            // Also what the last export may hold up the exit, retries included: the
            // provider itself ignores the timeout of its shutdown.
            .with_timeout(FLUSH_TIMEOUT)
            .build()
            .with_context(|| format!("cannot send metrics to {endpoint}"))?;
        let interval = Duration::from_millis(self.otel_metric_export_interval);
        Ok(PeriodicReader::builder(exporter)
            .with_interval(interval)
            .build())
    }
}

/// Sends what is measured, if there is somewhere to.
pub(crate) struct Provider(Option<SdkMeterProvider>);

impl Provider {
    pub(crate) fn new(
        service_name: &'static str,
        otlp: &otlp::Options,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let own = options.otlp_metrics_endpoint.as_deref();
        let Some(endpoint) = otlp.endpoint(options.otel_metrics_exporter, own) else {
            return Ok(Self(None));
        };
        let provider = SdkMeterProvider::builder()
            .with_resource(otlp.resource(service_name))
            .with_reader(options.reader(endpoint)?)
            .build();
        Ok(Self(Some(provider)))
    }

    /// Makes this the provider of the process. Before anybody takes a meter: one that
    /// was taken earlier does nothing for ever.
    pub(crate) fn install(&self) {
        if let Some(provider) = &self.0 {
            opentelemetry::global::set_meter_provider(provider.clone());
            process::measure();
        }
    }

    pub(crate) async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        otlp::flush(move || provider.shutdown(), "the last metrics may be lost").await;
    }
}

#[cfg(test)]
mod tests;
