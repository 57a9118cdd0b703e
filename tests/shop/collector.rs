//! A collector of spans, metrics and log lines: all that services export, and what they measured
//! last.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use prost::Message as _;
use shop::fault::Proxy;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Collects until it is dropped.
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    /// The way there, which can break: connections outlive a server that merely ends.
    pub line: Proxy,
    received: Received,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Exports>>);

#[derive(Default)]
struct Exports {
    spans: Vec<Vec<u8>>,
    metrics: Vec<Vec<u8>>,
    logs: Vec<ExportLogsServiceRequest>,
    latest: HashMap<String, f64>,
}

impl Collector {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let line = Proxy::open(address).await;
        let line = line.expect("loopback has a free port");
        let received = Received::default();
        let metrics = MetricsServiceServer::new(received.clone());
        let spans = TraceServiceServer::new(received.clone());
        let logs = LogsServiceServer::new(received.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = Server::builder()
                .add_service(metrics)
                .add_service(spans)
                .add_service(logs)
                .serve_with_incoming(TcpIncoming::from(listener));
            serving.await.expect("the listener is bound");
        });
        Self {
            endpoint: format!("http://{}", line.address()),
            line,
            received,
            _server: server,
        }
    }

    /// The last value of a metric, if there was one. Of several attributes, any.
    pub fn last(&self, metric: &str) -> Option<f64> {
        self.received.lock().latest.get(metric).copied()
    }

    /// Every export of spans, as bytes: whatever is said in one, wherever, is in there.
    pub fn spans(&self) -> Vec<Vec<u8>> {
        self.received.lock().spans.clone()
    }

    /// Every export of log lines.
    pub fn logs(&self) -> Vec<ExportLogsServiceRequest> {
        self.received.lock().logs.clone()
    }

    /// The same of metrics.
    pub fn metrics(&self) -> Vec<Vec<u8>> {
        self.received.lock().metrics.clone()
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.lock().logs.push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Received {
    fn lock(&self) -> MutexGuard<'_, Exports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let export = request.into_inner().encode_to_vec();
        self.lock().spans.push(export);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let export = request.into_inner();
        let mut exports = self.lock();
        exports.metrics.push(export.encode_to_vec());
        let resources = export.resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        let measured = metrics.filter_map(|metric| Some((metric.name.clone(), value(&metric)?)));
        exports.latest.extend(measured);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn value(metric: &Metric) -> Option<f64> {
    let points = match metric.data.as_ref()? {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        _ => return None,
    };
    match points.first()?.value? {
        Value::AsDouble(value) => Some(value),
        #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
        Value::AsInt(value) => Some(value as f64),
    }
}
