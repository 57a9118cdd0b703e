//! Where the services of a drill send what they export: counters and spans are kept.
//!
//! Counters go straight here. Spans go through a line that can break, for nobody may depend on them.

use std::sync::Arc;

use anyhow::Result;
use lifecycle::Stop;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{meters::Meters, spans::Spans};
use crate::{
    fault::Proxy,
    receiver::{self, Sink},
};

/// Collects until it is dropped.
pub(crate) struct Exports {
    /// The way of spans.
    pub(crate) line: Proxy,
    /// The way of everything else.
    pub(crate) endpoint: String,
    received: Arc<Received>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Received {
    meters: Meters,
    spans: Spans,
}

impl Exports {
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (line, received) = (Proxy::open(address).await?, Arc::new(Received::default()));
        let (sink, mut serving) = (received.clone(), JoinSet::new());
        serving.spawn(async move {
            // It ends with its task; if it could not go on, sums would be missing and say so.
            let _ = receiver::serve(listener, sink, Stop::new()).await;
        });
        Ok(Self {
            line,
            endpoint: format!("http://{address}"),
            received,
            _serving: serving,
        })
    }

    /// What tells a service to export, and where to. In milliseconds: often enough to know what a
    /// process did before it was killed.
    pub(super) fn settings(&self) -> [(&'static str, String); 4] {
        let spans = format!("http://{}", self.line.address());
        [
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", self.endpoint.clone()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "250".to_owned()),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", spans),
            ("OTEL_BSP_SCHEDULE_DELAY", "250".to_owned()),
        ]
    }

    /// What was counted.
    pub(crate) fn meters(&self) -> &Meters {
        &self.received.meters
    }

    /// What was traced.
    pub(super) fn spans(&self) -> &Spans {
        &self.received.spans
    }
}

impl Sink for Received {
    fn spans(&self, export: ExportTraceServiceRequest) {
        self.spans.take(export);
    }

    fn metrics(&self, export: ExportMetricsServiceRequest) {
        self.meters.take(export);
    }

    fn logs(&self, _: ExportLogsServiceRequest) {}
}
