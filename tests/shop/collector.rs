//! A collector of metrics: what services measured last.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Collects until it is dropped.
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`.
    pub endpoint: String,
    latest: Latest,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Latest(Arc<Mutex<HashMap<String, f64>>>);

impl Collector {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let latest = Latest::default();
        let service = MetricsServiceServer::new(latest.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener));
            serving.await.expect("the listener is bound");
        });
        Self {
            endpoint,
            latest,
            _server: server,
        }
    }

    /// The last value of a metric, if there was one. Of several attributes, any.
    pub fn last(&self, metric: &str) -> Option<f64> {
        let latest = self.latest.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.get(metric).copied()
    }
}

#[tonic::async_trait]
impl MetricsService for Latest {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.extend(metrics.filter_map(|metric| Some((metric.name.clone(), value(&metric)?))));
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
