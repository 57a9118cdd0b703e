//! Several relays share one outbox, and nobody publishes what is another's for long.

use crate::{
    log,
    post::{Post, event, order_id, publish},
};
use messaging::{
    event::Event,
    relay::{Published, Relay},
};
use shop::harness::{Options, eventually};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn a_relay_that_lost_its_lease_while_sending_does_not_move_the_cursor() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let mut relay = post.relay();
    let (mut wait, mut unsent) = (Duration::from_millis(50), 0);
    // Again, and later, if the lease was gone before the relay had read what to send.
    eventually("a relay to lose its lease while it sends", async || {
        post.append(&[event(order_id(), 1)]).await;
        wait *= 2;
        let sent = lose_the_lease_after(&post, &mut relay, wait).await;
        unsent += 1 + sent.fenced;
        unsent -= sent.acknowledged;
        if sent.fenced > 0 && sent.fenced == sent.acknowledged {
            Ok(())
        } else {
            Err(sent)
        }
    })
    .await;
    // The parts' new owner publishes them again.
    assert_eq!(
        publish(&mut relay, unsent).await,
        Published {
            acknowledged: unsent,
            ..Published::default()
        }
    );
    post.close().await;
}

/// Holds Kafka's acks back until the part has changed hands.
async fn lose_the_lease_after(post: &Post, relay: &mut Relay, wait: Duration) -> Published {
    post.shop.servers.kafka.pause().await.expect("it runs");
    let lose = async {
        sleep(wait).await;
        post.execute("update outbox_parts set epoch = epoch + 1")
            .await;
        post.shop
            .servers
            .kafka
            .resume()
            .await
            .expect("it is paused");
    };
    let (published, ()) = tokio::join!(relay.publish_batch(), lose);
    published.expect("Kafka is back")
}

#[tokio::test]
async fn two_relays_share_the_parts_and_publish_each_event_once() {
    const EVENTS: usize = 64;
    let post = Post::open(Options::default()).await;
    let lease = Duration::from_secs(2);
    let (mut one, mut other) = (post.relay_with(lease), post.relay_with(lease));
    // The first takes all parts, and gives up half of them once it has heard of the other.
    eventually("each to hold half of the parts", async || {
        step_both(&mut one, &mut other).await;
        match post.shares().await.as_slice() {
            [4, 4] => Ok(()),
            shares => Err(shares.to_vec()),
        }
    })
    .await;
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    let mut acknowledged = [0, 0];
    eventually("all events to be published", async || {
        for (total, published) in acknowledged
            .iter_mut()
            .zip(step_both(&mut one, &mut other).await)
        {
            assert_eq!(published.fenced, 0, "nobody lost a part");
            *total += published.acknowledged;
        }
        match acknowledged.iter().sum::<usize>() {
            EVENTS.. => Ok(()),
            _ => Err(acknowledged),
        }
    })
    .await;
    assert_eq!(acknowledged.iter().sum::<usize>(), EVENTS, "none twice");
    assert!(!acknowledged.contains(&0), "both publish: {acknowledged:?}");
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), EVENTS);
    post.close().await;
}

/// A batch of each relay, both at the same time.
async fn step_both(one: &mut Relay, other: &mut Relay) -> [Published; 2] {
    let (one, other) = tokio::join!(one.publish_batch(), other.publish_batch());
    [one, other].map(|published| published.expect("Kafka and Postgres are up"))
}
