//! The topics, read and written around the services: what a test can see and do on the wire.

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use shop::harness::{Shop, patience};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Everything in a topic, from the start.
pub async fn read(shop: &Shop, topic: &str) -> Vec<OwnedMessage> {
    let (config, topic) = (config(shop), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || read_blocking(&config, &topic));
    reading
        .await
        .expect("reading does not panic")
        .expect("Kafka answers")
}

fn read_blocking(
    config: &ClientConfig,
    topic: &str,
) -> rdkafka::error::KafkaResult<Vec<OwnedMessage>> {
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), patience())?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let (mut assigned, mut left) = (TopicPartitionList::new(), 0);
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), patience())?;
        assigned.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        left += high - low;
    }
    consumer.assign(&assigned)?;
    let messages = (0..left).map(|_| consumer.poll(patience()).expect("the topic holds more"));
    messages
        .map(|message| message.map(|message| message.detach()))
        .collect()
}

/// What the barista acts on: an order that was paid, as often as it is told.
pub async fn paid(shop: &Shop) -> Vec<OwnedMessage> {
    let mut messages = read(shop, &shop.orders_topic()).await;
    messages.retain(|message| headers(message)["ce_type"].ends_with(".OrderPaid"));
    messages
}

/// The events that the barista has handled.
pub async fn handled(shop: &Shop) -> BTreeSet<Uuid> {
    let ids = sqlx::query_scalar("select event_id from inbox")
        .fetch_all(&shop.barista_pool())
        .await;
    ids.expect("the database is up").into_iter().collect()
}

/// Puts a message into a partition.
pub async fn write(shop: &Shop, message: OwnedMessage) {
    let producer: FutureProducer = config(shop).create().expect("the settings are valid");
    let mut record: FutureRecord<'_, [u8], [u8]> =
        FutureRecord::to(message.topic()).partition(message.partition());
    record.key = message.key();
    record.payload = message.payload();
    record.headers = message.headers().cloned();
    let sent = producer.send(record, patience()).await;
    sent.map_err(|(error, _)| error).expect("Kafka takes it");
}

/// The same wherever it is told again.
pub fn event_id(message: &OwnedMessage) -> Uuid {
    headers(message)["ce_id"].parse().expect("it is a UUID")
}

/// The headers as text.
pub fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    headers
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            (header.key.to_owned(), value)
        })
        .collect()
}

fn config(shop: &Shop) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shop.servers.kafka_direct());
    // Required of every consumer; this one is assigned by hand and commits nothing.
    config.set("group.id", "a-test-that-only-looks");
    config.set("enable.auto.commit", "false");
    config
}
