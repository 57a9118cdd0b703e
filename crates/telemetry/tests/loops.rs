//! What is exported is not the cause of more: a process of its own, because the threads of the
//! exporters hear only the subscriber of the whole process.

use clap::Parser as _;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet, time};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// How long an export may take that is due in a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Enough for what is said of one export to be in the next.
const ROUNDS: usize = 3;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    telemetry: telemetry::Options,
}

/// Who said what it received: targets of log lines, names of spans.
#[derive(Clone, Default)]
struct Collector {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_logs);
        let targets = scopes.flat_map(|scope| {
            let target = scope.scope.map(|scope| scope.name).unwrap_or_default();
            scope.log_records.into_iter().map(move |_| target.clone())
        });
        self.lines
            .lock()
            .expect("nobody panics here")
            .extend(targets);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let names = scopes.flat_map(|scope| scope.spans).map(|span| span.name);
        self.spans.lock().expect("nobody panics here").extend(names);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collect(collector: &Collector) -> (JoinSet<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = Server::builder()
        .add_service(LogsServiceServer::new(collector.clone()))
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    let mut serving = JoinSet::new();
    serving.spawn(async { server.await.expect("the listener is bound") });
    (serving, endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_export_is_the_cause_of_another() {
    let collector = Collector::default();
    let (_serving, endpoint) = collect(&collector).await;
    let arguments = ["test", "--log", "trace", "--otlp-endpoint", &endpoint];
    let options = Command::parse_from(arguments).telemetry;
    let telemetry = telemetry::init("test", &options).expect("nobody else listens");
    for round in 1..=ROUNDS {
        tracing::info_span!("round").in_scope(|| tracing::info!("said"));
        let arrived = async {
            while collector.lines.lock().expect("nobody panics here").len() < round
                || collector.spans.lock().expect("nobody panics here").len() < round
            {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(PATIENCE, arrived).await.expect("it arrives");
    }
    telemetry.shutdown().await;
    let spans = collector.spans.lock().expect("nobody panics here").clone();
    assert_eq!(spans, ["round"; ROUNDS]);
    let lines = collector.lines.lock().expect("nobody panics here").clone();
    let others = lines.iter().filter(|target| *target != "loops");
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new());
}
