//! Each shop's own topics.
//!
//! The services would make them, too. Made before anybody subscribes, they spare a test the second or
//! two until a group notices a topic that was not there when it was joined.

use anyhow::{Context as _, Result, ensure};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};

use super::{patience::patience, wiring::PARTITIONS};
use crate::servers::Servers;

pub(super) async fn create(servers: &Servers, topics: [String; 2]) -> Result<()> {
    let admin = admin(servers)?;
    let new = topics
        .each_ref()
        .map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)));
    let created = admin.create_topics(&new, &options()).await;
    drop_aside(admin);
    let refused = created?.into_iter().find_map(Result::err);
    ensure!(refused.is_none(), "cannot create a topic: {refused:?}");
    Ok(())
}

pub(super) async fn delete(servers: &Servers, topics: [String; 2]) -> Result<()> {
    let admin = admin(servers)?;
    let deleted = admin
        .delete_topics(&topics.each_ref().map(String::as_str), &options())
        .await;
    drop_aside(admin);
    let refused = deleted?.into_iter().find_map(Result::err);
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

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(patience()))
}

/// Dropping it waits for its thread, which would hold up everything else in the test.
fn drop_aside(admin: AdminClient<DefaultClientContext>) {
    tokio::task::spawn_blocking(move || drop(admin));
}
