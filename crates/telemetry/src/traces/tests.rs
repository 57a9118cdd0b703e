use super::{FLUSH_TIMEOUT, Options, Provider, layer};
use crate::otlp;
use clap::Parser;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use std::time::{Duration, Instant};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    otlp: otlp::Options,
    #[command(flatten)]
    traces: Options,
}

impl Command {
    fn endpoint(&self) -> Option<&str> {
        let own = self.traces.otlp_traces_endpoint.as_deref();
        self.otlp.endpoint(self.traces.otel_traces_exporter, own)
    }
}

fn options(endpoint: &str) -> Command {
    Command::parse_from(["service", "--otlp-endpoint", endpoint])
}

/// Passes on what it receives.
struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0
            .send(request.into_inner())
            .await
            .expect("the test listens");
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, format!("http://{address}"))
}

async fn emit_and_shut_down(endpoint: &str) {
    let Command { otlp, traces } = options(endpoint);
    let provider = Provider::new("barista", &otlp, &traces).expect("the options are fine");
    let subscriber = tracing_subscriber::registry().with(layer(&provider));
    tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("brew")));
    provider.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_reach_the_collector_before_the_exit() {
    let (listener, endpoint) = listen().await;
    let (sender, mut received) = mpsc::channel(8);
    let mut collector = JoinSet::new();
    collector.spawn(
        Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    emit_and_shut_down(&endpoint).await;
    let spans = &received.try_recv().expect("flushed by now").resource_spans[0];
    assert_eq!(spans.scope_spans[0].spans[0].name, "brew");
    let resource = format!("{:?}", spans.resource);
    assert!(resource.contains("barista"), "{resource}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_says_nothing_does_not_hold_the_exit() {
    // It listens and never accepts.
    let (_listener, endpoint) = listen().await;
    let begin = Instant::now();
    emit_and_shut_down(&endpoint).await;
    assert!(begin.elapsed() < FLUSH_TIMEOUT * 2, "{:?}", begin.elapsed());
}

/// What one export may take where that is not what the test is about.
const SHORT: Duration = Duration::from_millis(200);

/// More than the queue holds, and the books of them once all is over.
async fn dropped_at(endpoint: &str, timeout: Duration) -> (usize, u64) {
    const SPANS: usize = 500;
    let timeout = format!("--otel-exporter-otlp-timeout={}", timeout.as_millis());
    let Command { otlp, traces } = Command::parse_from([
        "service",
        "--otlp-endpoint",
        endpoint,
        &timeout,
        "--otel-bsp-schedule-delay=10",
        "--otel-bsp-max-queue-size=20",
        "--otel-bsp-max-export-batch-size=10",
    ]);
    let provider = Provider::new("barista", &otlp, &traces).expect("the options are fine");
    let ledger = provider
        .ledger
        .clone()
        .expect("there is somewhere to send to");
    let subscriber = tracing_subscriber::registry().with(layer(&provider));
    let begin = Instant::now();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..SPANS {
            drop(tracing::info_span!("brew"));
        }
    });
    // One try of the exporter takes longer.
    assert!(begin.elapsed() < otlp.timeout(), "{:?}", begin.elapsed());
    provider.shutdown().await;
    (SPANS, ledger.dropped())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_counted_spans_and_no_time() {
    // It listens and never accepts.
    let (_listener, endpoint) = listen().await;
    let (spans, dropped) = dropped_at(&endpoint, SHORT).await;
    assert_eq!(dropped, spans as u64, "every one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_the_last_flush_gives_up_on_are_counted() {
    // It listens and never accepts: one export takes longer than the flush may.
    let (_listener, endpoint) = listen().await;
    let (spans, dropped) = dropped_at(&endpoint, FLUSH_TIMEOUT * 4).await;
    assert_eq!(dropped, spans as u64, "every one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_costs_counted_spans_and_no_time() {
    let (listener, endpoint) = listen().await;
    drop(listener);
    let (spans, dropped) = dropped_at(&endpoint, SHORT).await;
    assert_eq!(dropped, spans as u64, "every one of them");
}

#[test]
fn an_empty_variable_and_a_disabled_sdk_send_nothing() {
    assert_eq!(options("").endpoint(), None);
    let arguments = [
        "service",
        "--otel-sdk-disabled",
        "--otlp-endpoint",
        "http://collector",
    ];
    assert_eq!(Command::parse_from(arguments).endpoint(), None);
    let arguments = [
        "service",
        "--otel-traces-exporter",
        "none",
        "--otlp-endpoint",
        "http://collector",
    ];
    assert_eq!(Command::parse_from(arguments).endpoint(), None);
}

#[test]
fn the_endpoint_for_traces_wins() {
    let arguments = [
        "service",
        "--otlp-endpoint",
        "http://all",
        "--otlp-traces-endpoint",
        "http://traces",
    ];
    assert_eq!(
        Command::parse_from(arguments).endpoint(),
        Some("http://traces")
    );
}
