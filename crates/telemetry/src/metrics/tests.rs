use super::{FLUSH_TIMEOUT, Options, Provider};
use crate::otlp;
use clap::Parser;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::{metric::Data, number_data_point::Value},
};
use std::time::{Duration, Instant};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// How long a test waits for an export that is due in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    otlp: otlp::Options,
    #[command(flatten)]
    metrics: Options,
}

fn provider<const N: usize>(arguments: [&str; N]) -> Provider {
    let arguments = [["service"].as_slice(), &arguments].concat();
    let Command { otlp, metrics } = Command::parse_from(arguments);
    Provider::new("barista", &otlp, &metrics).expect("the options are fine")
}

fn brew(provider: &Provider, drinks: u64) {
    let provider = provider.0.as_ref().expect("there is somewhere to send to");
    let counter = provider.meter("test").u64_counter("drinks").build();
    counter.add(drinks, &[]);
}

/// Passes on what it receives.
struct Collector(mpsc::Sender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        // The test may have heard enough.
        let _ = self.0.send(request.into_inner()).await;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A collector; it ends with its tasks.
async fn collect() -> (
    JoinSet<()>,
    mpsc::Receiver<ExportMetricsServiceRequest>,
    String,
) {
    let (listener, endpoint) = listen().await;
    let (sender, received) = mpsc::channel(8);
    let mut collector = JoinSet::new();
    collector.spawn(async {
        Server::builder()
            .add_service(MetricsServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .expect("the listener is bound");
    });
    (collector, received, endpoint)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, format!("http://{address}"))
}

fn drinks(request: &ExportMetricsServiceRequest) -> i64 {
    let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
    assert_eq!(metric.name, "drinks");
    let Some(Data::Sum(sum)) = &metric.data else {
        panic!("a counter is a sum: {metric:?}")
    };
    match sum.data_points[0].value {
        Some(Value::AsInt(drinks)) => drinks,
        ref other => panic!("drinks are whole: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_metrics_reach_the_collector_before_the_exit() {
    let (_collector, mut received, endpoint) = collect().await;
    let provider = provider(["--otlp-endpoint", &endpoint]);
    brew(&provider, 3);
    provider.shutdown().await;
    let request = received.try_recv().expect("flushed by now");
    assert_eq!(drinks(&request), 3);
    let resource = format!("{:?}", request.resource_metrics[0].resource);
    assert!(resource.contains("barista"), "{resource}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_exported_while_the_process_runs() {
    let (_collector, mut received, endpoint) = collect().await;
    let interval = ["--otel-metric-export-interval", "20"];
    let provider = provider([
        "--otlp-metrics-endpoint",
        &endpoint,
        interval[0],
        interval[1],
    ]);
    brew(&provider, 1);
    let request = timeout(PATIENCE, received.recv()).await;
    let request = request.expect("in time").expect("the collector runs");
    assert_eq!(drinks(&request), 1);
    received.close();
    provider.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_says_nothing_does_not_hold_the_exit() {
    // It listens and never accepts.
    let (_listener, endpoint) = listen().await;
    let provider = provider(["--otlp-endpoint", &endpoint]);
    brew(&provider, 1);
    let begin = Instant::now();
    provider.shutdown().await;
    let took = begin.elapsed();
    // The SDK by itself would wait for five seconds.
    let slack = Duration::from_millis(1_500);
    assert!(took < FLUSH_TIMEOUT + slack, "{took:?}");
}

#[tokio::test]
async fn with_nowhere_to_send_to_nothing_is_collected() {
    assert!(provider([]).0.is_none());
    assert!(provider(["--otlp-endpoint", ""]).0.is_none());
    let disabled = ["--otel-sdk-disabled", "--otlp-endpoint", "http://collector"];
    assert!(provider(disabled).0.is_none());
}
