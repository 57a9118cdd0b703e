//! Where the services' spans, metrics and logs go: a receiver of the shop's own, elsewhere, nowhere.
//!
//! Guarantee: the receiver keeps nobody waiting. A shop whose receiver does not start is opened
//! without it, and one whose receiver dies goes on; the services drop what they cannot send.

use std::fs;

use anyhow::{Context as _, Result};

use super::opening::Opening;
use crate::{
    binaries, closing,
    part::Part,
    probe::Probe,
    process::Program,
    receiver,
    state::{Build, State, Telemetry},
};

/// Where telemetry goes, and how much of it.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Options {
    /// Send spans, metrics and logs to this OTLP/gRPC endpoint: a collector, Jaeger [default: the
    /// shop's own receiver, which keeps the last 64 MiB of spans in .shop/spans for `shop trace`; or
    /// as it is if the shop is open].
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp: Option<String>,
    /// Send metrics to this endpoint, wherever the rest goes [default: where the rest goes; or as it
    /// is if the shop is open].
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL")]
    otlp_metrics: Option<String>,
    /// Send no telemetry to anybody, whatever the environment says.
    #[arg(long)]
    no_telemetry: bool,
    /// Trace this share of the orders, each whole or not at all: 1, 0.01, 0 [default: 1, or as it is if
    /// the shop is open]. Sets the services' `OTEL_TRACES_SAMPLER`.
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "no_telemetry")]
    trace_ratio: Option<f64>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

impl Options {
    /// To the shop's own receiver, a share of the orders traced and the metrics elsewhere; or nothing.
    pub fn measured(traced: Option<f64>, metrics: &str) -> Self {
        Self {
            otlp: None,
            otlp_metrics: Some(metrics.to_owned()),
            no_telemetry: traced.is_none(),
            trace_ratio: traced,
        }
    }

    /// Writes down what is asked for; what is not stays, unless the shop is opened afresh.
    pub fn decide(&self, state: &mut State, fresh: bool) {
        if fresh {
            (state.telemetry, state.trace_ratio) = (Telemetry::Own, None);
            state.metrics = None;
        }
        // A variable that is set to nothing counts as not set.
        let set = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        let otlp = set(&self.otlp);
        state.metrics = set(&self.otlp_metrics).or(state.metrics.take());
        state.telemetry = match otlp {
            _ if self.no_telemetry => Telemetry::Off,
            Some(url) => Telemetry::Elsewhere(url),
            None if self.trace_ratio.is_some() && state.telemetry == Telemetry::Off => {
                Telemetry::Own
            }
            None => state.telemetry.clone(),
        };
        state.trace_ratio = self.trace_ratio.or(state.trace_ratio);
    }
}

/// Starts the receiver, or ends one that is not wanted.
pub async fn open(opening: &Opening<'_>) -> Result<()> {
    let (part, state) = (Part::Telemetry, opening.state.get());
    if state.telemetry != Telemetry::Own {
        return match state.alive(part) {
            Some(_) => closing::end(opening.state, opening.progress, part)
                .await
                .map(drop),
            None => Ok(()),
        };
    }
    if let Err(error) = run(opening).await {
        let without = format!("The shop goes without telemetry: {error:#}");
        opening.progress.say(&without);
    }
    Ok(())
}

async fn run(opening: &Opening<'_>) -> Result<()> {
    let part = Part::Telemetry;
    let path = binaries::shop()?;
    let build = Build {
        settings: Vec::new(),
        built: Some(fs::metadata(&path)?.modified()?),
    };
    let running = opening.state.get().alive(part).cloned();
    if running.is_some_and(|running| running.build != build) {
        opening.end(part, "it was built anew").await?;
    }
    let step = opening.progress.step("opening telemetry");
    let address = opening.address(part)?;
    if opening.state.get().alive(part).is_none() {
        let listen = address.to_string();
        let spans = opening.dir.spans();
        let args = ["telemetry", "--listen", &listen, "--spans"].map(Into::into);
        let program = Program {
            part,
            path,
            args: args.into_iter().chain([spans.into()]).collect(),
            env: Vec::new(),
            directory: opening.dir.path().to_owned(),
            log: opening.dir.log(part.name()),
            account: None,
        };
        opening.start(program, address, build)?;
    }
    let probe = Probe::Grpc(address, receiver::HEALTH);
    let ready = opening.ready(part, &probe, step).await;
    ready.context("its receiver is ill")
}

/// What the services are told, as variables of the OpenTelemetry specification.
pub fn settings(state: &State) -> Vec<(&'static str, String)> {
    let own = || state.addresses.get(&Part::Telemetry);
    let endpoint = match &state.telemetry {
        Telemetry::Off => return vec![("OTEL_SDK_DISABLED", true.to_string())],
        Telemetry::Elsewhere(url) => Some(url.clone()),
        Telemetry::Own => own().map(|address| format!("http://{address}")),
    };
    let endpoint = endpoint.map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url));
    let metrics = state.metrics.clone();
    let metrics = metrics.map(|url| ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url));
    let sampler = state.trace_ratio.map(|ratio| {
        let sampler = "parentbased_traceidratio".to_owned();
        [
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", ratio.to_string()),
        ]
    });
    endpoint
        .into_iter()
        .chain(metrics)
        .chain(sampler.into_iter().flatten())
        .collect()
}
