//! A row, and the message in it.

use crate::{
    event::{Envelope, Malformed},
    inbox::{Message, Origin},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use std::collections::BTreeMap;
use telemetry::propagation::TraceContext;
use tracing::field::{DisplayValue, display};
use uuid::Uuid;

/// A message that could not be handled, or an event that could not be published.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DeadLetter {
    /// Rises.
    pub dead_letter_id: i64,
    /// Who could not handle it; the relay, if it could not be published.
    pub consumer: String,
    /// Where it came from, or was to go.
    pub topic: String,
    /// Where Kafka keeps it; absent if it could not be published, as are the next two.
    pub kafka_partition: Option<i32>,
    /// The same within the partition.
    pub kafka_offset: Option<i64>,
    /// Kafka's timestamp in milliseconds since 1970; -1 if it has none.
    pub kafka_time_ms: Option<i64>,
    /// Absent if the headers could not be read when it was parked, or if the inbox had no
    /// place for it. If it is there, the inbox knows it.
    pub event_id: Option<Uuid>,
    /// Of an event that could not be published: the headers do not say.
    pub revision: Option<i64>,
    /// A value that is no text is written like a `bytea`.
    pub headers: Json<BTreeMap<String, String>>,
    /// As it came.
    pub key: Option<Vec<u8>>,
    /// As it came. Left out in lists.
    pub payload: Option<Vec<u8>>,
    /// Why it is here.
    pub reason: String,
    /// When it was parked.
    pub create_time: DateTime<Utc>,
}

impl DeadLetter {
    /// Whether it is an event of our own that Kafka refused.
    pub fn is_unpublished(&self) -> bool {
        self.kafka_offset.is_none()
    }

    /// Which order it is about, by the headers or else by the key.
    pub fn order_id(&self) -> Option<Uuid> {
        let key = || std::str::from_utf8(self.key.as_deref()?).ok();
        let subject = self
            .headers
            .get("ce_subject")
            .and_then(|id| id.parse().ok());
        subject.or_else(|| key()?.parse().ok())
    }

    /// The message as the inbox would receive it today.
    ///
    /// # Errors
    /// It cannot be read today either.
    pub fn message(&self) -> Result<Message, Malformed> {
        let Envelope {
            event_id,
            event_type,
            order_id,
            trace,
        } = Envelope::find(|name| self.header(name))?;
        let payload = self.payload.clone().ok_or(Malformed::NoValue)?;
        Ok(Message {
            event_id,
            event_type,
            order_id,
            payload: Bytes::from(payload),
            trace,
            origin: Origin {
                topic: self.topic.clone(),
                // Of an event that was never published there is none; nobody asks.
                partition: self.kafka_partition.unwrap_or(-1),
                offset: self.kafka_offset.unwrap_or(-1),
                time_ms: self.kafka_time_ms.unwrap_or(-1),
            },
        })
    }

    /// Says something of it, with the order's id, in the order's trace.
    pub(super) fn in_its_trace(&self, say: impl FnOnce(Option<DisplayValue<Uuid>>)) {
        let trace = TraceContext {
            traceparent: self.header("traceparent"),
            tracestate: self.header("tracestate"),
        };
        let _trace = telemetry::spans::belongs_to(&trace);
        say(self.order_id().map(display));
    }

    /// A header as the inbox would read it.
    fn header(&self, name: &str) -> Option<String> {
        let stored = self.headers.get(name)?;
        let bytes = stored.strip_prefix("\\x").and_then(unhex);
        Some(bytes.map_or_else(
            || stored.clone(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        ))
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "01a1fde8-b906-731b-8abd-7f448e2ef631";
    const ORDER: &str = "01a1fde8-b906-731b-8abd-7f448e2ef632";

    fn letter(changed: &[(&str, &str)]) -> DeadLetter {
        let mut headers = BTreeMap::from(
            [
                ("ce_specversion", "1.0"),
                ("ce_id", EVENT),
                ("ce_type", "coffeeshop.test.v1.Tested"),
                ("ce_subject", ORDER),
                ("content-type", "application/protobuf"),
                ("traceparent", "00-1-2-01"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (name, value) in changed {
            headers.insert((*name).to_owned(), (*value).to_owned());
        }
        DeadLetter {
            dead_letter_id: 1,
            consumer: "test".into(),
            topic: "orders.v1".into(),
            kafka_partition: Some(3),
            kafka_offset: Some(7),
            kafka_time_ms: Some(1_000),
            event_id: None,
            revision: None,
            headers: Json(headers),
            key: Some(ORDER.as_bytes().to_vec()),
            payload: Some(vec![1, 2]),
            reason: "it was poison".into(),
            create_time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_letter_holds_the_message_as_it_came() {
        let message = letter(&[]).message().expect("nothing is wrong with it");
        assert_eq!(message.event_id.to_string(), EVENT);
        assert_eq!(message.order_id.to_string(), ORDER);
        assert_eq!(message.event_type, "coffeeshop.test.v1.Tested");
        assert_eq!(message.trace.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!((message.origin.partition, message.origin.offset), (3, 7));
        assert_eq!(message.payload, [1, 2][..]);
    }

    #[test]
    fn a_header_that_was_no_text_is_read_as_the_inbox_read_it() {
        let said = |value| letter(&[("ce_id", value)]).message().expect_err("no UUID");
        let lossy = Malformed::Unexpected {
            name: "ce_id",
            value: "\u{fffd}A".into(),
            expected: "a UUID",
        };
        assert_eq!(said("\\xff41"), lossy);
        for odd in ["\\xf", "\\xzz", "\\x\u{e9}"] {
            assert!(said(odd).to_string().contains("ce_id"), "{odd}");
        }
        let plain = letter(&[("ce_type", "\\x5061")]).message();
        assert_eq!(plain.expect("hex is text, too").event_type, "Pa");
    }

    #[test]
    fn the_order_is_named_by_the_headers_or_else_by_the_key() {
        let order_id = |letter: &DeadLetter| letter.order_id().map(|id| id.to_string());
        let mut letter = letter(&[("ce_subject", EVENT)]);
        assert_eq!(order_id(&letter).as_deref(), Some(EVENT));
        letter.headers.remove("ce_subject");
        assert_eq!(order_id(&letter).as_deref(), Some(ORDER));
        letter.key = Some(vec![0xff]);
        assert_eq!(order_id(&letter), None);
    }
}
