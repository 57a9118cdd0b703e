//! What a collector takes and rejects is counted: a process of its own, because the exporter's
//! thread hears only the subscriber of the whole process.

use clap::Parser as _;
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value,
    metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use telemetry::semconv::metrics::SPANS_DROPPED;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Of each batch.
const REJECTED: i64 = 2;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    telemetry: telemetry::Options,
}

/// Rejects some of all spans, and hears how many were dropped, by the reason.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<BTreeMap<String, i64>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let partial_success = ExportTracePartialSuccess {
            rejected_spans: REJECTED,
            error_message: "too old".to_owned(),
        };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(partial_success),
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        for metric in metrics.filter(|metric| metric.name == SPANS_DROPPED.name) {
            let Some(Data::Sum(sum)) = metric.data else {
                continue;
            };
            let mut heard = self.0.lock().expect("nobody panics here");
            heard.extend(sum.data_points.iter().filter_map(reason_and_count));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn reason_and_count(point: &NumberDataPoint) -> Option<(String, i64)> {
    let reason = point.attributes.first()?.value.as_ref()?.value.as_ref()?;
    match (reason, point.value?) {
        (any_value::Value::StringValue(reason), Value::AsInt(count)) => {
            Some((reason.clone(), count))
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_the_collector_takes_and_rejects_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let collector = Collector::default();
    let server = Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .add_service(MetricsServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    let mut serving = JoinSet::new();
    serving.spawn(async { server.await.expect("the listener is bound") });

    let arguments = ["test", "--otlp-endpoint", &endpoint];
    let options = Command::parse_from(arguments).telemetry;
    let telemetry = telemetry::init("test", &options).expect("nobody else listens");
    for _ in 0..5 {
        drop(tracing::info_span!("brew"));
    }
    // One batch, and then the last metrics.
    telemetry.shutdown().await;

    let dropped = collector.0.lock().expect("nobody panics here").clone();
    let none = ["queue_full", "export_failed", "shutdown"].map(|reason| (reason, 0));
    let expected = none.into_iter().chain([("rejected", REJECTED)]);
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(dropped, expected.collect());
}
