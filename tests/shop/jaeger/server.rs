//! A Jaeger of the test's own, on ports of its own, and its query API.

use serde_json::Value;
use shop::{
    binaries,
    harness::eventually,
    ports,
    traces::{Kind, Span, SpanId, TraceId, Tree},
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/jaeger/config.yaml");
const PLACE_ORDER: &str = "coffeeshop.reception.v1.ReceptionService/PlaceOrder";

/// A Jaeger that keeps traces in memory.
pub struct Jaeger {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    query: u16,
    /// Ends Jaeger when its stdin does: with this process, however that ends.
    _guard: Child,
}

impl Jaeger {
    pub async fn start(program: &Path) -> Self {
        let [query, otlp] = [(); 2].map(|()| ports::free().expect("there are free ports"));
        let guard = Command::new(binaries::shop().expect("it is built"))
            .args(["guard", "--"])
            .arg(program)
            .args(["--config", CONFIG])
            .env("QUERY_PORT", query.to_string())
            .env("OTLP_PORT", otlp.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the guard starts");
        let jaeger = Self {
            endpoint: format!("http://{}", ports::loopback(otlp)),
            query,
            _guard: guard,
        };
        eventually("Jaeger to answer", async || {
            jaeger.ask("/api/services").await
        })
        .await;
        jaeger
    }

    /// The trace that an order's PlaceOrder began, as one finds it: by the order's id.
    pub async fn trace_of(&self, order_id: &str) -> Tree {
        let tags = format!("%7B%22coffeeshop.order.id%22%3A%22{order_id}%22%7D");
        let operation = PLACE_ORDER.replace('/', "%2F");
        let found = self
            .ask(&format!(
                "/api/traces?service=reception&operation={operation}&tags={tags}"
            ))
            .await
            .expect("Jaeger is up");
        let traces = found["data"].as_array().cloned().unwrap_or_default();
        assert!(traces.len() <= 1, "one PlaceOrder, one trace: {traces:?}");
        Tree::new(traces.iter().flat_map(spans))
    }

    /// HTTP/1.0: the answer ends where the connection does.
    async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = async {
            let mut connection = TcpStream::connect(ports::loopback(self.query)).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            connection.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let answer = answer
            .await
            .map_err(|error: std::io::Error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        match head.contains(" 200 ") {
            true => serde_json::from_str(body).map_err(|error| error.to_string()),
            false => Err(answer),
        }
    }
}

fn spans(trace: &Value) -> Vec<Span> {
    let spans = trace["spans"].as_array().into_iter().flatten();
    spans.map(|one| span(one, &trace["processes"])).collect()
}

fn span(span: &Value, processes: &Value) -> Span {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let begun = span["startTime"].as_u64().expect("in microseconds") * 1000;
    let took = span["duration"].as_u64().expect("in microseconds") * 1000;
    let tags = span["tags"].as_array().into_iter().flatten();
    let mut references = span["references"].as_array().into_iter().flatten();
    // The parent comes first, and Jaeger's page takes it from there: of a span that is linked to its
    // own parent, as `process` is, this API calls it FOLLOWS_FROM.
    let parent = references.next();
    let parent = parent.filter(|reference| reference["traceID"] == span["traceID"]);
    let service = &processes[text(&span["processID"])]["serviceName"];
    let kind = |tag: &Value| tag["key"] == "span.kind";
    Span {
        trace_id: TraceId::parse(&text(&span["traceID"])).expect("Jaeger's is one"),
        span_id: SpanId::parse(&text(&span["spanID"])).expect("Jaeger's is one"),
        parent: parent.and_then(|parent| SpanId::parse(&text(&parent["spanID"]))),
        service: text(service),
        name: text(&span["operationName"]),
        kind: match tags
            .clone()
            .find(|tag| kind(tag))
            .map(|tag| text(&tag["value"]))
        {
            Some(kind) if kind == "server" => Kind::Server,
            Some(kind) if kind == "client" => Kind::Client,
            Some(kind) if kind == "producer" => Kind::Producer,
            Some(kind) if kind == "consumer" => Kind::Consumer,
            _ => Kind::Internal,
        },
        start_unix_ns: begun,
        end_unix_ns: begun + took,
        error: None,
        attributes: tags
            .map(|tag| (text(&tag["key"]), text(&tag["value"])))
            .collect(),
        events: Vec::new(),
        links: Vec::new(),
    }
}
