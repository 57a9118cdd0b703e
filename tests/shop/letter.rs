//! A message as a relay writes it, to be spoiled by a test.

use prost::Message as _;
use proto::{barista::v1::TicketEvent, reception::v1::OrderEvent};
use rdkafka::{
    Timestamp,
    message::{Header, OwnedHeaders, OwnedMessage},
};
use uuid::Uuid;

/// Whole when it is made.
#[derive(Clone, Debug)]
pub struct Letter {
    pub headers: Vec<(&'static str, Option<String>)>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
}

impl Letter {
    pub fn new(order_id: &str, event_type: &str, payload: Vec<u8>) -> Self {
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &Uuid::now_v7().to_string()),
            ("ce_type", event_type),
            ("ce_source", "/coffeeshop/test"),
            ("ce_time", "2026-01-01T00:00:00Z"),
            ("ce_subject", order_id),
            ("content-type", "application/protobuf"),
        ]
        .map(|(name, value)| (name, Some(value.to_owned())));
        Self {
            headers: headers.into(),
            key: Some(order_id.into()),
            payload: Some(payload),
        }
    }

    /// What the handler of the post understands.
    pub fn of_revision(order_id: Uuid, revision: i64) -> Self {
        let payload = revision.to_be_bytes().to_vec();
        Self::new(&order_id.to_string(), "coffeeshop.test.v1.Tested", payload)
    }

    /// What reception says.
    pub fn of_order(event: &OrderEvent) -> Self {
        let event_type = "coffeeshop.reception.v1.OrderSomething";
        Self::new(&event.order_id, event_type, event.encode_to_vec())
    }

    /// What the barista says.
    pub fn of_ticket(event: &TicketEvent) -> Self {
        let event_type = "coffeeshop.barista.v1.TicketSomething";
        Self::new(&event.order_id, event_type, event.encode_to_vec())
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, Some(value.to_owned())));
        self
    }

    pub fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub fn to(self, topic: &str, partition: i32) -> OwnedMessage {
        let headers = self.headers.iter().map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        });
        let headers = headers.fold(OwnedHeaders::new(), OwnedHeaders::insert);
        let (topic, time) = (topic.to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(
            self.payload,
            self.key,
            topic,
            time,
            partition,
            0,
            Some(headers),
        )
    }
}
