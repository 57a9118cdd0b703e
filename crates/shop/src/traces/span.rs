//! One span, decoded from OTLP.

use std::{collections::BTreeMap, fmt, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span as Exported, span::SpanKind, status::StatusCode},
};
use serde::Serialize;

/// The id of a trace, in 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TraceId(String);

/// The id of a span, in 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SpanId(String);

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of the whole.
    pub trace_id: TraceId,
    /// Its own.
    pub span_id: SpanId,
    /// What caused it; a root has none.
    pub parent: Option<SpanId>,
    /// `service.name` of the process.
    pub service: String,
    /// What was done.
    pub name: String,
    /// On which side of a call or a message.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Nanoseconds since 1970.
    pub end_unix_ns: u64,
    /// It failed, and with which words.
    pub error: Option<String>,
    /// What it was about.
    pub attributes: BTreeMap<String, String>,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// Other spans that it came about by.
    pub links: Vec<Link>,
}

/// Of OpenTelemetry's kinds of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Inside a process.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Writes a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// A moment within a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// What happened.
    pub name: String,
    /// To what.
    pub attributes: BTreeMap<String, String>,
}

/// A reference to another span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
}

impl TraceId {
    /// If it is one: 32 hexadecimal digits, not all of them 0.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text, 32).map(Self)
    }

    /// Of a W3C context, `00-<trace>-<span>-<flags>`, if that says that the trace is recorded.
    pub fn of_context(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-').skip(1);
        let (trace, flags) = (parts.next()?, parts.nth(1)?);
        let recorded = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        recorded.then(|| Self::parse(trace)).flatten()
    }
}

impl SpanId {
    /// If it is one: 16 hexadecimal digits, not all of them 0.
    pub fn parse(text: &str) -> Option<Self> {
        parse(text, 16).map(Self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl Span {
    /// All spans of an export.
    pub fn all(export: ExportTraceServiceRequest) -> impl Iterator<Item = Self> {
        export.resource_spans.into_iter().flat_map(|resource| {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let service = words(attributes.unwrap_or_default()).remove("service.name");
            let service = service.unwrap_or_default();
            let scopes = resource.scope_spans.into_iter();
            let spans = scopes.flat_map(|scope| scope.spans);
            spans.map(move |span| Self::new(&service, span))
        })
    }

    fn new(service: &str, span: Exported) -> Self {
        let kind = span.kind();
        let status = span.status.unwrap_or_default();
        Self {
            trace_id: TraceId(hex(&span.trace_id)),
            span_id: SpanId(hex(&span.span_id)),
            parent: (!span.parent_span_id.is_empty()).then(|| SpanId(hex(&span.parent_span_id))),
            service: service.to_owned(),
            name: span.name,
            kind: kind.into(),
            start_unix_ns: span.start_time_unix_nano,
            end_unix_ns: span.end_time_unix_nano.max(span.start_time_unix_nano),
            error: (status.code() == StatusCode::Error).then_some(status.message),
            attributes: words(span.attributes),
            events: span
                .events
                .into_iter()
                .map(|event| Event {
                    unix_ns: event.time_unix_nano,
                    name: event.name,
                    attributes: words(event.attributes),
                })
                .collect(),
            links: span
                .links
                .into_iter()
                .map(|link| Link {
                    trace_id: TraceId(hex(&link.trace_id)),
                    span_id: SpanId(hex(&link.span_id)),
                })
                .collect(),
        }
    }

    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_unix_ns - self.start_unix_ns)
    }

    /// A span of another trace that came about by this one.
    pub fn is_linked_to(&self, trace: &TraceId) -> bool {
        self.trace_id != *trace && self.links.iter().any(|link| link.trace_id == *trace)
    }

    /// Its name without the package and the service of a call: `PlaceOrder`.
    pub fn short_name(&self) -> &str {
        match (self.kind, self.name.rsplit_once('/')) {
            (Kind::Server | Kind::Client, Some((_, method))) => method,
            _ => &self.name,
        }
    }
}

impl From<SpanKind> for Kind {
    fn from(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Server => Self::Server,
            SpanKind::Client => Self::Client,
            SpanKind::Producer => Self::Producer,
            SpanKind::Consumer => Self::Consumer,
            SpanKind::Internal | SpanKind::Unspecified => Self::Internal,
        }
    }
}

fn words(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let attributes = attributes.into_iter();
    let words = attributes.filter_map(|KeyValue { key, value, .. }| Some((key, word(value?)?)));
    words.collect()
}

fn word(value: AnyValue) -> Option<String> {
    Some(match value.value? {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::BytesValue(bytes) => hex(&bytes),
        Value::ArrayValue(values) => {
            let words: Vec<String> = values.values.into_iter().filter_map(word).collect();
            words.join(", ")
        }
        // Nobody here exports lists of pairs.
        _ => return None,
    })
}

fn parse(text: &str, digits: usize) -> Option<String> {
    let right = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (right && text.bytes().any(|byte| byte != b'0')).then(|| text.to_lowercase())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
