//! Where telemetry goes, and whom it is from: what traces, metrics and logs have in common.
//!
//! The variables are those of the OpenTelemetry specification. They are read here
//! rather than by its SDK, because this process decides by them or differs in a default. What
//! is not: the SDK and the exporters read `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and
//! `OTEL_BLRP_*` themselves.

use clap::builder::FalseyValueParser;
use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, error::OTelSdkResult, resource::EnvResourceDetector};
use std::{sync::LazyLock, time::Duration};
use tokio::{task, time};
use uuid::Uuid;

/// What is not yet sent is not worth more than this at exit.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// This process, in all that it sends.
static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().to_string());

/// Targets of the exporters and of what they run on. What they say of their own requests must
/// not be sent: each request would be the cause of the next.
pub(crate) const EXPORTERS: [&str; 6] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "tonic",
    "tower",
];

/// Ends a provider, within a bound; `lost` is what to say if it does not end well.
pub(crate) async fn flush(
    shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static,
    lost: &'static str,
) {
    // It blocks its thread until the exporter, which needs the runtime, is done.
    let flush = task::spawn_blocking(shutdown);
    match time::timeout(FLUSH_TIMEOUT, flush).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "{lost}"),
        Ok(Err(error)) => tracing::warn!(%error, "{lost}"),
        Err(_) => tracing::warn!("{lost}: the collector is too slow"),
    }
}

/// How a signal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Exporter {
    /// To the collector, if there is one.
    Otlp,
    /// Not at all.
    None,
}

/// Settings of all that is sent.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of spans, metrics and logs, OTLP over gRPC, for example `http://localhost:4317`; none: nothing is sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Sends nothing, whatever else is set
    #[arg(long, env, value_parser = FalseyValueParser::new())]
    otel_sdk_disabled: bool,
    /// How long one export of spans or logs may take, retries included, in milliseconds
    #[arg(long, env, default_value_t = 10_000, value_name = "MS")]
    otel_exporter_otlp_timeout: u64,
    /// Name of this service in all that is sent
    #[arg(long, env, value_name = "NAME")]
    otel_service_name: Option<String>,
}

impl Options {
    /// Where to send, unless that is nowhere; `own` is the endpoint of one signal alone
    /// and wins. A variable that is set to nothing counts as not set.
    pub(crate) fn endpoint<'a>(
        &'a self,
        exporter: Exporter,
        own: Option<&'a str>,
    ) -> Option<&'a str> {
        let sent = exporter == Exporter::Otlp && !self.otel_sdk_disabled;
        let endpoints = [own, self.otlp_endpoint.as_deref()];
        let mut set = endpoints
            .into_iter()
            .flatten()
            .filter(|url| !url.is_empty());
        set.next().filter(|_| sent)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.otel_exporter_otlp_timeout)
    }

    pub(crate) fn resource(&self, service_name: &'static str) -> Resource {
        let resource = Resource::builder_empty()
            .with_service_name(service_name)
            // Tells instances of a service apart: without it their series are one, and jump.
            .with_attribute(KeyValue::new("service.instance.id", INSTANCE.clone()))
            // What comes later wins: OTEL_RESOURCE_ATTRIBUTES may rename the service.
            .with_detector(Box::new(EnvResourceDetector::new()));
        match &self.otel_service_name {
            Some(name) if !name.is_empty() => resource.with_service_name(name.clone()),
            _ => resource,
        }
        .build()
    }
}
