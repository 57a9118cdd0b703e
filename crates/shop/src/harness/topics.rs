//! Each shop's own topics.
//!
//! The services would make them, too. Made before anybody subscribes, they spare a test the second or
//! two until a group notices a topic that was not there when it was joined.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use tokio::time::Instant;

use super::{patience::patience, wiring::PARTITIONS};
use crate::servers::Servers;

pub(super) async fn create(servers: &Servers, topics: [String; 2]) -> Result<()> {
    let replicas = i32::try_from(servers.kafka_nodes().count())?;
    let new = topics
        .each_ref()
        .map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(replicas)));
    let created = ask(servers, async |admin| {
        admin.create_topics(&new, &options()).await
    });
    let mut refused = created.await?.into_iter().filter_map(Result::err);
    // A try that timed out may have done it.
    let refused = refused.find(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists);
    ensure!(refused.is_none(), "cannot create a topic: {refused:?}");
    Ok(())
}

pub(super) async fn delete(servers: &Servers, topics: [String; 2]) -> Result<()> {
    let names = topics.each_ref().map(String::as_str);
    let deleted = ask(servers, async |admin| {
        admin.delete_topics(&names, &options()).await
    });
    let mut refused = deleted.await?.into_iter().filter_map(Result::err);
    let refused = refused.find(|(_, code)| *code != RDKafkaErrorCode::UnknownTopicOrPartition);
    ensure!(refused.is_none(), "cannot delete a topic: {refused:?}");
    Ok(())
}

/// Deletes every message that is in a topic now, as its retention would in time.
pub(super) async fn expire(servers: &Servers, topic: &str) -> Result<()> {
    let (admin, topic) = (admin(servers)?, topic.to_owned());
    let (admin, ends) = tokio::task::spawn_blocking(move || {
        let ends = ends(&admin, &topic);
        (admin, ends)
    })
    .await?;
    let deleted = admin.delete_records(&ends?, &options()).await;
    drop_aside(admin);
    for partition in deleted?.elements() {
        partition.error()?;
    }
    Ok(())
}

/// Sets a group that has no members back to the beginning of a topic.
pub(super) async fn set_back(servers: &Servers, group: &str, topic: String) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers.kafka_direct());
    config.set("group.id", group);
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let mut beginning = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            beginning.add_partition_offset(&topic, partition, Offset::Offset(0))?;
        }
        Ok(consumer.commit(&beginning, CommitMode::Sync)?)
    })
    .await?
}

fn ends(admin: &AdminClient<DefaultClientContext>, topic: &str) -> Result<TopicPartitionList> {
    let mut ends = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let (_, end) = admin
            .inner()
            .fetch_watermarks(topic, partition, patience())?;
        ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    Ok(ends)
}

fn admin(servers: &Servers) -> Result<AdminClient<DefaultClientContext>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers.kafka_direct());
    config.create().context("a client of Kafka")
}

/// Asks until Kafka answers. It has no controller for a moment after a pause, or on a machine that is
/// busy; a client that asks in that moment has been seen to wait until its request times out. So each
/// try is short, and has a client of its own.
async fn ask<T>(
    servers: &Servers,
    question: impl AsyncFn(&AdminClient<DefaultClientContext>) -> KafkaResult<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience();
    loop {
        let admin = admin(servers)?;
        let answer = question(&admin).await;
        drop_aside(admin);
        match answer {
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
                if Instant::now() < deadline => {}
            answer => return Ok(answer?),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(Duration::from_secs(5)))
}

/// Dropping it waits for its thread, which would hold up everything else in the test.
fn drop_aside(admin: AdminClient<DefaultClientContext>) {
    tokio::task::spawn_blocking(move || drop(admin));
}
