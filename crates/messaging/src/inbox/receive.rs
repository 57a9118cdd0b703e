//! From Kafka's messages to ours.

use super::Error;
use crate::{
    event::{Envelope, Malformed},
    kafka::Consumer,
};
use bytes::Bytes;
use futures::FutureExt as _;
use rdkafka::{
    Message as _,
    message::{BorrowedHeaders, BorrowedMessage, Headers as _},
};
use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// A message whose headers were understood; its payload is the handler's to decode.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same on every redelivery.
    pub event_id: Uuid,
    /// Full name of the case: `coffeeshop.reception.v1.OrderPaid`.
    pub event_type: String,
    /// The aggregate.
    pub order_id: Uuid,
    /// The encoded message.
    pub payload: Bytes,
    /// Where the trace comes from.
    pub trace: TraceContext,
    /// Where Kafka keeps it.
    pub origin: Origin,
}

/// Where Kafka keeps a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970; -1 if it has none.
    pub time_ms: i64,
}

/// A message as it came, understood or not: what a dead letter keeps.
pub(crate) struct Received {
    pub(crate) origin: Origin,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Option<Bytes>,
    pub(crate) message: Result<Message, Malformed>,
}

impl Received {
    /// Which order it is about, if it says so.
    pub(crate) fn order_id(&self) -> Option<Uuid> {
        let key = || std::str::from_utf8(self.key.as_deref()?).ok()?.parse().ok();
        let message = self.message.as_ref().ok();
        message.map(|message| message.order_id).or_else(key)
    }
}

/// Waits for one message, then takes what else has arrived, up to `limit`.
///
/// While brokers are away librdkafka queues an event for every failed attempt to connect. They
/// are taken along here, all at once: taken one at a time, with a pause after each, they would
/// hold up the messages behind them for as long again as the outage was.
pub(super) async fn batch(consumer: &Consumer, limit: usize) -> Result<Vec<Received>, Error> {
    let (mut batch, mut trouble) = (Vec::new(), None);
    let mut next = Some(consumer.recv().await);
    while let Some(event) = next {
        match event {
            Ok(message) => batch.push(Received::from(message)),
            Err(error) => trouble = Some(error),
        }
        next = (batch.len() < limit)
            .then(|| consumer.recv().now_or_never())
            .flatten();
    }
    match trouble {
        Some(error) if batch.is_empty() => Err(error.into()),
        // What has arrived is handled first; trouble that lasts comes again.
        _ => Ok(batch),
    }
}

/// Where each partition goes on after a batch.
pub(super) fn next_offsets<'a>(batch: impl Iterator<Item = &'a Received>) -> HashMap<i32, i64> {
    batch
        .map(|r| (r.origin.partition, r.origin.offset + 1))
        .collect()
}

impl From<BorrowedMessage<'_>> for Received {
    fn from(message: BorrowedMessage<'_>) -> Self {
        let origin = Origin {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            time_ms: message.timestamp().to_millis().unwrap_or(-1),
        };
        let payload = message.payload().map(Bytes::copy_from_slice);
        // rdkafka panics on a header whose name is not UTF-8. That would be a crash loop: the
        // message would still be there after the restart.
        let read = || {
            let understood = understand(message.headers(), payload.clone(), &origin);
            (
                understood,
                message.headers().map(readable).unwrap_or_default(),
            )
        };
        let (understood, headers) = catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| (Err(Malformed::Headers), BTreeMap::new()));
        Self {
            message: understood,
            headers,
            key: message.key().map(Bytes::copy_from_slice),
            payload,
            origin,
        }
    }
}

fn understand(
    headers: Option<&BorrowedHeaders>,
    payload: Option<Bytes>,
    origin: &Origin,
) -> Result<Message, Malformed> {
    let Envelope {
        event_id,
        event_type,
        order_id,
        trace,
    } = Envelope::read(headers)?;
    let payload = payload.ok_or(Malformed::NoValue)?;
    Ok(Message {
        event_id,
        event_type,
        order_id,
        payload,
        trace,
        origin: origin.clone(),
    })
}

/// Headers for people to read, and for a replay; a value that is no text is written like a
/// `bytea`. Of several with one name the first counts, as it does for the envelope.
fn readable(headers: &BorrowedHeaders) -> BTreeMap<String, String> {
    let mut readable = BTreeMap::new();
    for header in headers.iter() {
        readable
            .entry(header.key.to_owned())
            .or_insert_with(|| text(header.value.unwrap_or_default()));
    }
    readable
}

fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        // Postgres keeps no NUL in text; and what looks like a `bytea` must be one.
        Ok(text) if !text.contains('\0') && !text.starts_with("\\x") => text.to_owned(),
        _ => value
            .iter()
            .fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Options, Outage};
    use clap::Parser;
    use rdkafka::consumer::Consumer as _;
    use std::time::Duration;
    use tokio::{net::TcpListener, time::sleep};

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        kafka: Options,
    }

    #[tokio::test]
    async fn the_error_events_of_an_outage_are_taken_all_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let nobody = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let settings = Settings::parse_from(["test", "--kafka-brokers", &nobody]);
        let consumer = settings.kafka.consumer("test", Outage::default());
        let consumer = consumer.expect("the settings are valid");
        consumer.subscribe(&["topic"]).expect("it is a name");
        // Some attempts to connect, each of which leaves events behind.
        sleep(Duration::from_secs(2)).await;
        assert!(batch(&consumer, 200).await.is_err());
        assert!(
            batch(&consumer, 200).now_or_never().is_none(),
            "nothing is left"
        );
    }
}
