//! Sending rows, and finding out which of them Kafka will never take.
//!
//! Kafka answers a batch as a whole: one message that is too large has its neighbors
//! refused with it, and a batch can be too large although none of its messages is. So
//! nothing is believed of a message until it was sent alone.

use super::{Error, store::Row};
use crate::{
    event,
    kafka::{self, Outage, Producer},
};
use futures::future::join_all;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedHeaders,
    producer::{DeliveryFuture, FutureRecord, Producer as _},
};
use std::mem;

/// What Kafka said of a row.
pub(super) type Ack = Result<(), KafkaError>;

/// Sends to one topic.
pub(super) struct Sender {
    kafka: kafka::Options,
    producer: Producer,
    outage: Outage,
    source: &'static str,
    pub(super) topic: String,
    topic_exists: bool,
    /// The producer holds messages that nobody waits for, or will take none any more.
    spent: bool,
}

impl Sender {
    pub(super) fn new(
        kafka: &kafka::Options,
        source: &'static str,
        topic: String,
    ) -> anyhow::Result<Self> {
        let outage = Outage::default();
        Ok(Self {
            producer: kafka.producer(outage.clone())?,
            kafka: kafka.clone(),
            outage,
            source,
            topic,
            topic_exists: false,
            spent: false,
        })
    }

    /// Sees to a producer that can be relied on, and a topic. Costs nothing if there are.
    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        if self.spent {
            self.replace_producer()?;
        }
        if !self.topic_exists {
            let made = self.kafka.ensure_topic(&self.topic).await;
            made.map_err(Error::Topic)?;
            self.topic_exists = true;
        }
        Ok(())
    }

    fn replace_producer(&mut self) -> Result<(), Error> {
        let made = self.kafka.producer(self.outage.clone());
        let spent = mem::replace(&mut self.producer, made.map_err(Error::Producer)?);
        // Throws away what it holds. What is in flight may still arrive: duplicates.
        // It waits for its threads: not on a worker.
        tokio::task::spawn_blocking(move || drop(spent));
        self.spent = false;
        Ok(())
    }

    /// Sends all rows and waits for all answers, as long as Kafka is away if need be.
    pub(super) async fn send(&mut self, rows: &[Row]) -> Vec<Ack> {
        // Until all answers are in. Whoever waits may give up: the next batch then starts
        // with a producer that does not send this one beside it.
        self.spent = true;
        let mut acks = self.send_together(rows.iter()).await;
        if acks.iter().any(is_suspect) {
            self.isolate(rows, &mut acks).await;
        }
        self.spent = match acks.iter().find_map(|ack| ack.as_ref().err()) {
            Some(error) => self.notice(error),
            None => {
                self.outage.ends();
                false
            }
        };
        acks
    }

    async fn send_together(&self, rows: impl Iterator<Item = &Row>) -> Vec<Ack> {
        join_all(rows.map(|row| ack(self.enqueue(row)))).await
    }

    /// Sends the suspects again, in ever smaller lots down to one: what is refused then
    /// is refused for its own sake. Halves, because one bad message among thousands is
    /// found in a dozen rounds.
    async fn isolate(&self, rows: &[Row], acks: &mut [Ack]) {
        let mut lot = rows.len();
        while lot > 1 {
            let suspects: Vec<usize> = (0..rows.len()).filter(|&i| is_suspect(&acks[i])).collect();
            lot = (lot / 2).min(suspects.len()).max(1);
            for lot in suspects.chunks(lot) {
                let answers = self.send_together(lot.iter().map(|&i| &rows[i])).await;
                for (&i, answer) in lot.iter().zip(answers) {
                    acks[i] = answer;
                }
            }
        }
    }

    /// Draws the conclusions from an error. Returns whether the producer is of no use
    /// any more.
    ///
    /// The idempotent producer ends itself when it can no longer tell what the broker
    /// has: after the broker lost messages that it had acknowledged, for example. What
    /// was in flight then is unknown, and is sent again by the next producer.
    fn notice(&mut self, error: &KafkaError) -> bool {
        self.topic_exists &= !kafka::is_topic_gone(error);
        let fatal = self.producer.client().fatal_error();
        if let Some((code, reason)) = &fatal {
            tracing::warn!(%code, reason, topic = self.topic, "the producer gave up; taking another");
        }
        fatal.is_some()
    }

    fn enqueue(&self, row: &Row) -> Result<DeliveryFuture, KafkaError> {
        let key = row.key();
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(&row.payload)
            .headers(self.headers(row));
        // Not `send`: it waits for room in naps, and naps of several sends reorder.
        self.producer
            .send_result(record)
            .map_err(|(error, _)| error)
    }

    /// The headers that a row is sent with.
    pub(super) fn headers(&self, row: &Row) -> OwnedHeaders {
        event::headers(
            self.source,
            row.event_id,
            &row.event_type,
            row.order_id,
            row.occur_time,
            &row.trace(),
        )
    }
}

async fn ack(enqueued: Result<DeliveryFuture, KafkaError>) -> Ack {
    match enqueued?.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    }
}

/// Whether Kafka will never take this message, whoever sends it and whenever.
///
/// - `MessageSizeTooLarge`: our `message.max.bytes`, or the topic's `max.message.bytes`.
/// - `MessageBatchTooLarge`: larger than a segment of the log.
/// - `InvalidRecord`: the broker looked at the record and will not have it.
///
/// Not among them: what is about us or the topic rather than the message (missing
/// rights, a policy, an unknown topic, an unsupported compression, a clock that is
/// wrong: `InvalidTimestamp`), for all events would be parked until somebody mends it;
/// and what another try may cure (timeouts, too few replicas, a checksum that is wrong).
pub(super) fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidRecord, MessageBatchTooLarge, MessageSizeTooLarge};
    matches!(
        error.rdkafka_error_code(),
        Some(MessageSizeTooLarge | MessageBatchTooLarge | InvalidRecord)
    )
}

/// Refused for its own sake, or for a neighbor's.
fn is_suspect(ack: &Ack) -> bool {
    let neighbor = Some(RDKafkaErrorCode::InvalidDifferentRecord);
    matches!(ack, Err(error) if is_final(error) || error.rdkafka_error_code() == neighbor)
}
