//! Messages that no service of ours would write.

use std::time::Duration;

use anyhow::{Result, bail};
use prost::Message as _;
use proto::barista::v1::{TicketEvent, TicketSnapshot, TicketState};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use uuid::Uuid;

use super::{Shop, wiring::PARTITIONS};
use crate::services::Service;

const PATIENCE: Duration = Duration::from_secs(30);
const GARBAGE: &[u8] = b"\xff\xffno event";
const READY: &str = "coffeeshop.barista.v1.TicketReady";

/// What no service can handle.
#[derive(Clone, Copy)]
enum Poison {
    /// Bytes without headers.
    Garbage,
    /// Bytes that say they are this event.
    Undecodable(&'static str),
    /// A ticket is READY for an order that nobody placed.
    TicketOfNobody,
}

impl Shop {
    /// Writes what cannot be handled onto each partition of the topic that a service hears: bytes
    /// without headers, bytes that say they are an event, and for reception an event of an order
    /// that nobody placed. Returns how many.
    pub async fn poison(&self, service: Service) -> Result<u64> {
        let (topic, poisons) = match service {
            Service::Barista => (self.orders_topic(), of_barista()),
            Service::Reception => (self.tickets_topic(), of_reception()),
            Service::Payments => bail!("payments hears no Kafka"),
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers.kafka_direct());
        let producer: FutureProducer = config.create()?;
        let mut written = 0;
        for partition in 0..PARTITIONS {
            for poison in &poisons {
                let order_id = Uuid::now_v7();
                let (key, headers) = (order_id.to_string(), poison.headers(order_id));
                let payload = poison.payload(order_id);
                let record = FutureRecord::to(&topic).partition(partition);
                let record = record.key(&key).payload(&payload).headers(headers);
                let sent = producer.send(record, PATIENCE).await;
                sent.map_err(|(error, _)| error)?;
                written += 1;
            }
        }
        // Dropping it waits for its thread.
        tokio::task::spawn_blocking(move || drop(producer)).await?;
        Ok(written)
    }
}

fn of_barista() -> Vec<Poison> {
    let paid = "coffeeshop.reception.v1.OrderPaid";
    vec![Poison::Garbage, Poison::Undecodable(paid)]
}

fn of_reception() -> Vec<Poison> {
    let undecodable = Poison::Undecodable(READY);
    vec![Poison::Garbage, undecodable, Poison::TicketOfNobody]
}

impl Poison {
    fn payload(self, order_id: Uuid) -> Vec<u8> {
        match self {
            Self::Garbage | Self::Undecodable(_) => GARBAGE.to_vec(),
            Self::TicketOfNobody => ready(order_id).encode_to_vec(),
        }
    }

    fn headers(self, order_id: Uuid) -> OwnedHeaders {
        let event_type = match self {
            Self::Garbage => return OwnedHeaders::new(),
            Self::Undecodable(event_type) => event_type,
            Self::TicketOfNobody => READY,
        };
        let (event_id, order_id) = (Uuid::now_v7().to_string(), order_id.to_string());
        let time = chrono::Utc::now().to_rfc3339();
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &event_id),
            ("ce_type", event_type),
            ("ce_source", "/drill"),
            ("ce_time", &time),
            ("ce_subject", &order_id),
            ("content-type", "application/protobuf"),
        ];
        let header = |(key, value)| Header {
            key,
            value: Some(value),
        };
        let headers = headers.into_iter().map(header);
        headers.fold(OwnedHeaders::new(), OwnedHeaders::insert)
    }
}

fn ready(order_id: Uuid) -> TicketEvent {
    TicketEvent {
        order_id: order_id.to_string(),
        revision: 3,
        snapshot: Some(TicketSnapshot {
            state: TicketState::Ready.into(),
            drinks_total: 1,
            ..TicketSnapshot::default()
        }),
        ..TicketEvent::default()
    }
}
