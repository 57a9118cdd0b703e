//! A real Prometheus, with our configuration and our rules, fed as the collector feeds it.
//!
//! So that a test need not wait for hours, time runs sixty times faster in the rules: every
//! window and every `for` is a sixtieth of what it is in the file. Thresholds are as they are.

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use prost::Message as _;
use serde_json::Value;
use shop::{binaries, harness::eventually, ports};
use std::{env, fs, net::SocketAddr, path::Path, process::Stdio};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinSet,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/prometheus");
const CONFIG: &str = include_str!("../../deploy/prometheus/prometheus.yml");
const RULES: &str = include_str!("../../deploy/alerts/coffeeshop.rules.yml");

/// Runs until it is dropped, or the test is killed.
pub struct Prometheus {
    /// For `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`.
    pub endpoint: String,
    server: Api,
    _guard: Child,
    _bridge: JoinSet<()>,
}

impl Prometheus {
    /// One that is ready, unless `deploy/prometheus/build.sh` has not built any.
    pub async fn open() -> Option<Self> {
        if !Path::new(BINARY).exists() {
            return None;
        }
        let dir = env::temp_dir().join(format!("coffeeshop-prometheus-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary folder");
        let rules = dir.to_str().expect("a plain path");
        let config = CONFIG.replace("evaluation_interval: 15s", "evaluation_interval: 1s");
        let config = config.replace("/etc/prometheus/rules", rules);
        fs::write(dir.join("prometheus.yml"), config).expect("it is ours");
        fs::write(dir.join("coffeeshop.rules.yml"), sped_up(RULES)).expect("it is ours");
        let server = Api(ports::loopback(ports::free().expect("a free port")));
        let guard = start(&dir, server.0);
        eventually("Prometheus to be ready", async || {
            server.get("/-/ready").await
        })
        .await;
        let (endpoint, bridge) = bridge(server).await;
        Some(Self {
            endpoint,
            server,
            _guard: guard,
            _bridge: bridge,
        })
    }

    /// The series that an expression has now, or had in the last minute and a half.
    pub async fn series(&self, expression: &str) -> Result<Vec<Value>, String> {
        let now = chrono::Utc::now().timestamp();
        let query = format!(
            "query={}&start={}&end={now}&step=3",
            encoded(expression),
            now - 90
        );
        let answer = self.server.post("/api/v1/query_range", &query).await?;
        Ok(list(&answer["result"]))
    }

    /// An expression as Prometheus understands it.
    pub async fn parsed(&self, expression: &str) -> Result<Value, String> {
        let query = format!("query={}", encoded(expression));
        self.server.post("/api/v1/parse_query", &query).await
    }

    /// Every expression of the rules, as they are loaded: name, and expression.
    pub async fn rules(&self) -> Vec<(String, String)> {
        let answer = self.server.get("/api/v1/rules").await.expect("it is up");
        let groups = list(&answer["groups"]);
        let rules = groups.iter().flat_map(|group| list(&group["rules"]));
        rules
            .map(|rule| (text(&rule["name"]), text(&rule["query"])))
            .collect()
    }

    /// Where an alert stands: `pending`, `firing`, or nowhere.
    pub async fn state(&self, alert: &str) -> Option<String> {
        let answer = self.server.get("/api/v1/alerts").await.expect("it is up");
        let alerts = list(&answer["alerts"]);
        let mut ours = alerts.iter().filter(|a| a["labels"]["alertname"] == alert);
        ours.next().map(|alert| text(&alert["state"]))
    }
}

fn start(dir: &Path, listen: SocketAddr) -> Child {
    let shop = binaries::shop().expect("the launcher is built");
    let log = fs::File::create(dir.join("log")).expect("it is ours");
    let file = |name: &str| dir.join(name).display().to_string();
    Command::new(shop)
        .args(["guard", "--remove", &file(""), "--", BINARY])
        .arg(format!("--config.file={}", file("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", file("data")))
        .arg(format!("--web.listen-address={listen}"))
        .arg("--web.enable-otlp-receiver")
        // Its end is the guard's sign that nobody needs Prometheus any more.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("it can be started")
}

/// The rules with every duration a sixtieth: in brackets, and after `for:`.
pub fn sped_up(rules: &str) -> String {
    let faster = |line: &str| match line.split_once("for: ") {
        Some((indent, duration)) if indent.trim().is_empty() => {
            format!("{indent}for: {}", sixtieth(duration))
        }
        _ => windows(line),
    };
    rules.lines().map(faster).collect::<Vec<_>>().join("\n")
}

fn windows(line: &str) -> String {
    let mut parts = line.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| match part.split_once(']') {
        Some((window, rest)) => format!("{line}[{}]{rest}", sixtieth(window)),
        None => format!("{line}[{part}"),
    })
}

/// What is no duration, as a set of characters, stays as it is.
fn sixtieth(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len().saturating_sub(1));
    match (number.parse::<u32>(), unit) {
        (Ok(minutes), "m") => format!("{minutes}s"),
        (Ok(hours), "h") => format!("{hours}m"),
        (Ok(days), "d") => format!("{}m", days * 24),
        _ => duration.to_owned(),
    }
}

/// Hands on what services send, as it is: they speak gRPC, Prometheus takes HTTP.
struct Bridge(Api);

async fn bridge(to: Api) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let metrics = MetricsServiceServer::new(Bridge(to));
        let serving = Server::builder().add_service(metrics);
        let served = serving
            .serve_with_incoming(TcpIncoming::from(listener))
            .await;
        served.expect("the listener is bound");
    });
    (endpoint, serving)
}

#[tonic::async_trait]
impl MetricsService for Bridge {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let body = request.into_inner().encode_to_vec();
        let (path, kind) = ("/api/v1/otlp/v1/metrics", "application/x-protobuf");
        let sent = self.0.send("POST", path, kind, &body).await;
        sent.map_err(Status::unavailable)?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// The little of HTTP that is needed: a request, an answer, and the connection ends.
#[derive(Clone, Copy)]
struct Api(SocketAddr);

impl Api {
    async fn get(self, path: &str) -> Result<Value, String> {
        self.send("GET", path, "text/plain", b"").await.map(data)
    }

    async fn post(self, path: &str, form: &str) -> Result<Value, String> {
        let kind = "application/x-www-form-urlencoded";
        self.send("POST", path, kind, form.as_bytes())
            .await
            .map(data)
    }

    async fn send(
        self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Result<String, String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.0).await?;
            let length = body.len();
            // 1.0: the answer comes in one piece.
            let head = format!(
                "{method} {path} HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = exchange.await.map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        match status.starts_with('2') {
            true => Ok(body.to_owned()),
            false => Err(format!("{status}: {body}")),
        }
    }
}

/// What an answer of the API is about; of any other, nothing.
fn data(answer: String) -> Value {
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    answer["data"].clone()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The entries of a list; of anything else, none.
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A text; of anything else, an empty one.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
