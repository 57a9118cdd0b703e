//! A collector for tests: all that services export, and what they measured last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lifecycle::Stop;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinSet};

use super::Shop;
use crate::{
    fault::Proxy,
    receiver::{self, Sink},
    traces::{Span, TraceId, Tree},
};

/// Collects until it is dropped.
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    /// The way there, which can break: connections outlive a server that merely ends.
    pub line: Proxy,
    received: Arc<Received>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Received(Mutex<Exports>);

#[derive(Default)]
struct Exports {
    traces: HashMap<TraceId, Vec<Span>>,
    spans: Vec<Vec<u8>>,
    metrics: Vec<Vec<u8>>,
    logs: Vec<Vec<u8>>,
    latest: HashMap<String, f64>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let line = Proxy::open(address).await;
        let line = line.expect("loopback has a free port");
        let received = Arc::new(Received::default());
        let sink = received.clone();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = receiver::serve(listener, sink, Stop::new());
            serving.await.expect("the listener is bound");
        });
        Self {
            endpoint: format!("http://{}", line.address()),
            line,
            received,
            _server: server,
        }
    }

    /// The last value of a metric, if there was one. Of several attributes, any; of counts, the sum.
    pub fn last(&self, metric: &str) -> Option<f64> {
        self.received.lock().latest.get(metric).copied()
    }

    /// Every export of spans, as bytes: whatever is said in one, wherever, is in there.
    pub fn spans(&self) -> Vec<Vec<u8>> {
        self.received.lock().spans.clone()
    }

    /// The same of metrics.
    pub fn metrics(&self) -> Vec<Vec<u8>> {
        self.received.lock().metrics.clone()
    }

    /// The same of log lines.
    pub fn logs(&self) -> Vec<Vec<u8>> {
        self.received.lock().logs.clone()
    }

    /// What has arrived of a trace.
    pub fn tree(&self, trace: &TraceId) -> Tree {
        let received = self.received.lock();
        Tree::new(received.traces.get(trace).cloned().unwrap_or_default())
    }

    /// Spans of other traces that are linked to this one.
    pub fn linked(&self, trace: &TraceId) -> Vec<Span> {
        let received = self.received.lock();
        let all = received.traces.values().flatten();
        all.filter(|span| span.is_linked_to(trace))
            .cloned()
            .collect()
    }
}

impl Shop {
    /// The trace that an order began, by its row.
    ///
    /// # Panics
    /// There is no such order, or its process had no telemetry.
    pub async fn trace_of(&self, order_id: &str) -> TraceId {
        let context =
            sqlx::query_scalar("select traceparent from orders where order_id = $1::uuid")
                .bind(order_id)
                .fetch_one(&self.reception_pool())
                .await;
        let context: Option<String> = context.expect("the order is stored");
        let context = context.expect("it is traced");
        let trace = context.split('-').nth(1).and_then(TraceId::parse);
        trace.unwrap_or_else(|| panic!("no trace context: {context}"))
    }
}

impl Received {
    fn lock(&self) -> MutexGuard<'_, Exports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Received {
    fn spans(&self, export: ExportTraceServiceRequest) {
        let mut exports = self.lock();
        exports.spans.push(export.encode_to_vec());
        for span in Span::all(export) {
            let trace = exports.traces.entry(span.trace_id.clone()).or_default();
            trace.push(span);
        }
    }

    fn metrics(&self, export: ExportMetricsServiceRequest) {
        let mut exports = self.lock();
        exports.metrics.push(export.encode_to_vec());
        let resources = export.resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        let measured = metrics.filter_map(|metric| Some((metric.name.clone(), value(&metric)?)));
        exports.latest.extend(measured);
    }

    fn logs(&self, export: ExportLogsServiceRequest) {
        self.lock().logs.push(export.encode_to_vec());
    }
}

fn value(metric: &Metric) -> Option<f64> {
    let points = match metric.data.as_ref()? {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        _ => return None,
    };
    let mut values = points.iter().filter_map(|point| point.value).map(number);
    match metric.data.as_ref()? {
        Data::Sum(_) => values.reduce(|sum, value| sum + value),
        _ => values.next(),
    }
}

fn number(value: Value) -> f64 {
    match value {
        Value::AsDouble(value) => value,
        #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
        Value::AsInt(value) => value as f64,
    }
}
