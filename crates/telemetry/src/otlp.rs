//! Where telemetry goes, and whom it is from: what traces and metrics have in common.
//!
//! The variables are those of the OpenTelemetry specification. They are read here
//! rather than by its SDK, because this process decides by them or differs in a default.

use clap::builder::FalseyValueParser;
use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::EnvResourceDetector};
use std::{sync::LazyLock, time::Duration};
use uuid::Uuid;

/// What is not yet sent is not worth more than this at exit.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// This process, in all that it sends.
static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().to_string());

/// Settings of all that is sent.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Collector of spans and metrics, OTLP over gRPC, for example `http://localhost:4317`; none: nothing is sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Sends nothing, whatever else is set
    #[arg(long, env, value_parser = FalseyValueParser::new())]
    otel_sdk_disabled: bool,
    /// Name of this service in traces and metrics
    #[arg(long, env, value_name = "NAME")]
    otel_service_name: Option<String>,
}

impl Options {
    /// Where to send, unless that is nowhere; `own` is the endpoint of one signal alone
    /// and wins. A variable that is set to nothing counts as not set.
    pub(crate) fn endpoint<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        let endpoints = [own, self.otlp_endpoint.as_deref()];
        let mut set = endpoints
            .into_iter()
            .flatten()
            .filter(|url| !url.is_empty());
        set.next().filter(|_| !self.otel_sdk_disabled)
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
