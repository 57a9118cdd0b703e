//! Kafka is away, or loses what it had acknowledged.

use crate::{
    heard::Heard,
    log,
    post::{Post, event, order_id, publish},
};
use messaging::event::Event;
use shop::harness::{Options, eventually, patience};
use std::{collections::HashSet, fs, path::Path, time::Duration};
use tokio::time::{sleep, timeout};

/// Eight parts of the outbox, of each a batch of five hundred.
const AT_A_TIME: usize = 8 * 500;

#[tokio::test]
async fn ten_thousand_events_wait_out_a_minute_without_kafka_and_are_sent_a_batch_at_a_time() {
    const EVENTS: usize = 10_000;
    const AWAY: Duration = Duration::from_secs(60);
    let post = own_servers().await;
    let mut relay = post.relay();
    // A relay of a running service knows its topic.
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut relay, 1).await;
    let kafka = &post.shop.servers.kafka;
    kafka.kill9().await.expect("it runs");
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;

    let outage = async {
        sleep(AWAY).await;
        kafka.restart().await.expect("it starts again");
    };
    let publishing = async {
        let mut acknowledged = 0;
        while acknowledged < EVENTS {
            let told = relay.publish_batch().await.expect("it waits, and is told");
            assert!(told.acknowledged <= AT_A_TIME, "{told:?}");
            acknowledged += told.acknowledged;
        }
    };
    let publishing = timeout(AWAY + patience(), publishing);
    let (published, ()) = tokio::join!(publishing, outage);
    published.expect("it goes on when Kafka is back");
    let sent = log::read(&post.shop, &post.topic).await;
    let ids = |message| log::headers(message).remove("ce_id");
    let distinct: HashSet<_> = sent.iter().map(ids).collect();
    assert_eq!(distinct.len(), 1 + EVENTS, "all are out");
    post.close().await;
}

#[tokio::test]
async fn a_producer_that_gave_up_is_replaced_and_its_events_are_sent_by_the_next() {
    let heard = Heard::listen();
    let post = own_servers().await;
    let (mut relay, order_id) = (post.relay(), order_id());
    post.append(&[event(order_id, 1)]).await;
    publish(&mut relay, 1).await;
    // Kafka's disk is replaced by an older copy: what it acknowledged since is gone, and the
    // producer's next number is not the one that the broker expects.
    let kafka = &post.shop.servers.kafka;
    let (data, copy) = (
        kafka.directory().join("data"),
        kafka.directory().join("copy"),
    );
    kafka.terminate().await.expect("it runs");
    copy_all(&data, &copy);
    kafka.restart().await.expect("it starts again");
    kafka.ready().await.expect("it starts again");
    post.append(&[event(order_id, 2)]).await;
    publish(&mut relay, 1).await;
    kafka.terminate().await.expect("it runs");
    fs::remove_dir_all(&data).expect("it is ours");
    fs::rename(&copy, &data).expect("it is ours");
    kafka.restart().await.expect("it starts again");
    kafka.ready().await.expect("it starts again");

    post.append(&[event(order_id, 3)]).await;
    eventually("the next event to be sent", async || {
        match relay.publish_batch().await {
            Ok(told) if told.acknowledged == 1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(heard.count("the producer gave up"), 1, "{heard:?}");
    let sent = log::read(&post.shop, &post.topic).await;
    let revision = |message: &rdkafka::message::OwnedMessage| {
        use rdkafka::Message as _;
        let payload = message.payload().expect("an event");
        i64::from_be_bytes(payload[..8].try_into().expect("8 bytes"))
    };
    assert_eq!(sent.iter().map(revision).collect::<Vec<_>>(), [1, 3]);
    post.close().await;
}

async fn own_servers() -> Post {
    let own_servers = true;
    Post::open(Options {
        own_servers,
        ..Options::default()
    })
    .await
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it is ours");
    for entry in fs::read_dir(from).expect("it is ours") {
        let entry = entry.expect("it is ours");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            fs::copy(&from, &to).expect("it is ours");
        }
    }
}
