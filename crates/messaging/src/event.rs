//! An event and its form on the wire: CloudEvents 1.0, Kafka binary mode.
//!
//! The value is one protobuf message per topic, the key is the order id, and
//! everything a router or an operator wants to know without decoding the value is
//! in the headers.

use crate::spans;
use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/protobuf";

/// Something that happened, ready for the outbox.
#[derive(Clone, Debug)]
pub struct Event {
    /// `UUIDv7`; the same on every re-send.
    pub event_id: Uuid,
    /// Full name of the case: `coffeeshop.reception.v1.OrderPaid`.
    pub event_type: &'static str,
    /// The aggregate, and the Kafka key.
    pub order_id: Uuid,
    /// Of the publisher's own aggregate.
    pub revision: i64,
    /// When it was decided.
    pub occur_time: DateTime<Utc>,
    /// The encoded message.
    pub payload: Vec<u8>,
    /// Where the trace goes on.
    pub trace: TraceContext,
}

impl Event {
    /// An event with a fresh id.
    pub fn new(
        event_type: &'static str,
        order_id: Uuid,
        revision: i64,
        occur_time: DateTime<Utc>,
        message: &impl prost::Message,
        trace: TraceContext,
    ) -> Self {
        let event_id = Uuid::now_v7();
        let payload = message.encode_to_vec();
        Self {
            event_id,
            event_type,
            order_id,
            revision,
            occur_time,
            payload,
            trace,
        }
    }

    /// The same of one that drives the next step of its order, and is published to `topic`: it
    /// gets spans of its own, from here on.
    #[must_use]
    pub fn as_step(mut self, topic: &str) -> Self {
        if let Some(created) = spans::create(&self, topic) {
            self.trace = created;
        }
        self
    }
}

/// What the headers of a message say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `ce_id`.
    pub event_id: Uuid,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_subject`.
    pub order_id: Uuid,
    /// `traceparent` and `tracestate`.
    pub trace: TraceContext,
}

/// Why a message is not an event in our envelope.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// There is no value: a tombstone, which no publisher of ours writes.
    #[error("the message has no value")]
    NoValue,
    /// The headers cannot even be read.
    #[error("the name of a header is not UTF-8")]
    Headers,
    /// A required header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header holds something else than it should.
    #[error("header {name} is {value:?}, expected {expected}")]
    Unexpected {
        /// The header.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

/// The headers that a row of the outbox is published with.
pub(crate) fn headers(
    source: &str,
    event_id: Uuid,
    event_type: &str,
    order_id: Uuid,
    occur_time: DateTime<Utc>,
    trace: &TraceContext,
) -> OwnedHeaders {
    let time = occur_time.to_rfc3339_opts(SecondsFormat::Micros, true);
    [
        ("ce_specversion", Some(SPEC_VERSION)),
        ("ce_id", Some(event_id.to_string().as_str())),
        ("ce_type", Some(event_type)),
        ("ce_source", Some(source)),
        ("ce_time", Some(time.as_str())),
        ("ce_subject", Some(order_id.to_string().as_str())),
        ("content-type", Some(CONTENT_TYPE)),
        ("traceparent", trace.traceparent.as_deref()),
        ("tracestate", trace.tracestate.as_deref()),
    ]
    .into_iter()
    .filter_map(|(key, value)| {
        value.map(|value| Header {
            key,
            value: Some(value),
        })
    })
    .fold(OwnedHeaders::new(), OwnedHeaders::insert)
}

impl Envelope {
    /// Reads the headers of a consumed message.
    ///
    /// # Errors
    /// A required header is absent or holds something else.
    pub fn read(headers: Option<&BorrowedHeaders>) -> Result<Self, Malformed> {
        Self::find(|name| headers.and_then(|headers| text(headers, name)))
    }

    /// Reads headers from wherever they are kept.
    ///
    /// # Errors
    /// A required header is absent or holds something else.
    pub(crate) fn find(get: impl Fn(&'static str) -> Option<String>) -> Result<Self, Malformed> {
        let require = |name| get(name).ok_or(Malformed::Missing(name));
        expect("ce_specversion", require("ce_specversion")?, SPEC_VERSION)?;
        expect(
            "content-type",
            require("content-type")?.to_ascii_lowercase(),
            CONTENT_TYPE,
        )?;
        Ok(Self {
            event_id: uuid("ce_id", require("ce_id")?)?,
            event_type: require("ce_type")?,
            order_id: uuid("ce_subject", require("ce_subject")?)?,
            trace: TraceContext {
                traceparent: get("traceparent"),
                tracestate: get("tracestate"),
            },
        })
    }
}

fn text(headers: &BorrowedHeaders, name: &str) -> Option<String> {
    let header = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

fn expect(name: &'static str, value: String, expected: &'static str) -> Result<(), Malformed> {
    if value == expected {
        Ok(())
    } else {
        Err(Malformed::Unexpected {
            name,
            value,
            expected,
        })
    }
}

fn uuid(name: &'static str, value: String) -> Result<Uuid, Malformed> {
    value.parse().map_err(|_| Malformed::Unexpected {
        name,
        value,
        expected: "a UUID",
    })
}
