//! The topics, read and written around the services: what a test can see and do on the wire.

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use shop::harness::Shop;
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(10);

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
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let (mut assigned, mut left) = (TopicPartitionList::new(), 0);
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        assigned.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        left += high - low;
    }
    consumer.assign(&assigned)?;
    let messages = (0..left).map(|_| consumer.poll(PATIENCE).expect("the topic holds more"));
    messages
        .map(|message| message.map(|message| message.detach()))
        .collect()
}

/// Puts a message into a partition.
pub async fn write(shop: &Shop, message: OwnedMessage) {
    let producer: FutureProducer = config(shop).create().expect("the settings are valid");
    let mut record: FutureRecord<'_, [u8], [u8]> =
        FutureRecord::to(message.topic()).partition(message.partition());
    record.key = message.key();
    record.payload = message.payload();
    record.headers = message.headers().cloned();
    let sent = producer.send(record, PATIENCE).await;
    sent.map_err(|(error, _)| error).expect("Kafka takes it");
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
