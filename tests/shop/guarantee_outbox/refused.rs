//! Kafka will never take an event: it is parked with its reason, and its part goes on.

use crate::{
    count, log,
    post::{Post, event, order_id, publish},
};
use messaging::{event::Event, relay::Published};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use shop::harness::{Options, eventually};
use uuid::Uuid;

#[tokio::test]
async fn an_event_that_no_producer_can_send_is_parked_whole_and_its_part_goes_on() {
    let post = Post::open(Options::default()).await;
    let (mut relay, order_id) = (post.relay(), order_id());
    let events = [
        event(order_id, 1),
        large(order_id, 2, 1_100_000),
        event(order_id, 3),
    ];
    post.append(&events).await;
    assert_eq!(until_parked(&post, &mut relay, 3).await, published(2, 1));
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), 2);

    let parked: (
        String,
        String,
        Uuid,
        i64,
        String,
        String,
        Vec<u8>,
        Vec<u8>,
        String,
    ) = sqlx::query_as(
        "select consumer, topic, event_id, revision, headers->>'ce_type', \
                    headers->>'ce_subject', key, payload, reason from dead_letters \
             where num_nulls(kafka_partition, kafka_offset, kafka_time_ms) = 3",
    )
    .fetch_one(&post.pool)
    .await
    .expect("it is parked");
    let (key, lost) = (order_id.to_string(), events[1].clone());
    assert_eq!((parked.0.as_str(), parked.1), ("relay", post.topic.clone()));
    assert_eq!((parked.2, parked.3), (lost.event_id, 2));
    assert_eq!((parked.4.as_str(), &parked.5), (lost.event_type, &key));
    assert_eq!((parked.6, parked.7), (key.into_bytes(), lost.payload));
    assert!(parked.8.contains("too large"), "{}", parked.8);
    post.close().await;
}

#[tokio::test]
async fn an_event_too_large_for_the_topic_is_told_from_those_that_were_refused_with_it() {
    const NEIGHBORS: usize = 60;
    let post = Post::open(Options::default()).await;
    let mut relay = post.relay();
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut relay, 1).await;
    allow(&post, 20_000).await;
    // Together the neighbors are too large as well: Kafka refuses every batch.
    let mut events: Vec<Event> = (0..NEIGHBORS)
        .map(|_| large(order_id(), 1, 1_000))
        .collect();
    events.insert(NEIGHBORS / 2, large(order_id(), 1, 30_000));
    post.append(&events).await;
    let told = until_parked(&post, &mut relay, NEIGHBORS + 1).await;
    assert_eq!(told, published(NEIGHBORS, 1));
    let sent = log::read(&post.shop, &post.topic).await;
    assert_eq!(sent.len(), NEIGHBORS + 1);
    let reason: String = sqlx::query_scalar("select reason from dead_letters")
        .fetch_one(&post.pool)
        .await
        .expect("it is parked");
    assert!(reason.contains("too large"), "{reason}");
    post.close().await;
}

#[tokio::test]
async fn an_event_is_not_parked_by_a_relay_that_has_lost_its_part() {
    let post = Post::open(Options::default()).await;
    let (mut relay, order_id) = (post.relay(), order_id());
    relay.publish_batch().await.expect("both are up");
    post.append(&[event(order_id, 1), large(order_id, 2, 1_100_000)])
        .await;
    let mut taking = post.pool.begin().await.expect("the database is up");
    sqlx::query("update outbox_parts set epoch = epoch + 1")
        .execute(&mut *taking)
        .await
        .expect("the database is up");
    let taken = async {
        eventually("the relay to have sent", async || {
            match log::read(&post.shop, &post.topic).await.len() {
                0 => Err(()),
                _ => Ok(()),
            }
        })
        .await;
        taking.commit().await.expect("the database is up");
    };
    let told = async {
        // Again if the horizon hid the events.
        eventually("the events to be sent", async || {
            match relay.publish_batch().await.expect("both are up") {
                told if told == Published::default() => Err(told),
                told => Ok(told),
            }
        })
        .await
    };
    let (told, ()) = tokio::join!(told, taken);
    assert_eq!((told.acknowledged, told.fenced, told.parked), (1, 1, 0));
    assert_eq!(dead_letters(&post).await, 0);
    // The part's new owner sends and judges again.
    assert_eq!(until_parked(&post, &mut relay, 2).await, published(1, 1));
    post.close().await;
}

fn published(acknowledged: usize, parked: usize) -> Published {
    Published {
        acknowledged,
        parked,
        ..Published::default()
    }
}

/// Publishes until so many events are done with.
async fn until_parked(
    post: &Post,
    relay: &mut messaging::relay::Relay,
    events: usize,
) -> Published {
    let mut total = Published::default();
    eventually("events to be sent or parked", async || {
        let told = relay.publish_batch().await.expect("both are up");
        total.acknowledged += told.acknowledged;
        total.parked += told.parked;
        total.fenced += told.fenced;
        match total.acknowledged + total.parked {
            done if done < events => Err(total),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(dead_letters(post).await, total.parked as i64);
    total
}

async fn dead_letters(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from dead_letters").await
}

/// An event whose payload is random, so that compressing does not make it smaller.
fn large(order_id: Uuid, revision: i64, bytes: usize) -> Event {
    let mut event = event(order_id, revision);
    let noise = || Uuid::new_v4().into_bytes();
    event
        .payload
        .extend(std::iter::repeat_with(noise).take(bytes / 16).flatten());
    event
}

/// Sets the topic's limit for a batch.
async fn allow(post: &Post, bytes: i32) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", post.shop.servers.kafka_brokers());
    let admin: AdminClient<DefaultClientContext> = config.create().expect("the settings are valid");
    let limit = bytes.to_string();
    let change =
        AlterConfig::new(ResourceSpecifier::Topic(&post.topic)).set("max.message.bytes", &limit);
    let changed = admin
        .alter_configs([&change], &AdminOptions::new())
        .await
        .expect("Kafka is up");
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    tokio::task::spawn_blocking(move || drop(admin));
}
