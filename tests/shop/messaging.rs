//! At least once on the wire, effects once: relay and inbox, a step at a time.
//!
//! Here nobody runs in the background: the test calls each step, and so decides what happens between
//! two of them. A crash at that point is a step that is not called.

/// The fixture.
mod post;

use crate::log;
use messaging::{
    event::Event,
    inbox::Processed,
    outbox,
    relay::{Published, Relay},
};
use post::{Post, REFUSED, RETRIED, event, garbage, order_id, process, publish, step};
use shop::harness::{Options, eventually};
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

#[tokio::test]
async fn an_event_is_published_and_handled_once() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    post.append(&[event(order_id(), 1)]).await;
    assert_eq!(
        publish(&mut relay, 1).await,
        Published {
            acknowledged: 1,
            fenced: 0
        }
    );
    let handled = process(&mut inbox, 1).await;
    assert_eq!(
        handled,
        Processed {
            received: 1,
            done: 1,
            ..Processed::default()
        }
    );
    let nothing = relay
        .publish_batch()
        .await
        .expect("Kafka and Postgres are up");
    assert_eq!(nothing, Published::default(), "the cursor is behind it");
    assert_eq!(post.effects().await, 1);
    post.close().await;
}

#[tokio::test]
async fn an_event_that_is_published_twice_has_its_effect_once() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut relay, 1).await;
    process(&mut inbox, 1).await;
    // As after a crash between the ack and the cursor.
    post.execute("update outbox_parts set cursor_xid = '0', cursor_seq = 0")
        .await;
    publish(&mut relay, 1).await;
    let handled = process(&mut inbox, 1).await;
    assert_eq!(
        handled,
        Processed {
            received: 1,
            duplicates: 1,
            ..Processed::default()
        }
    );
    assert_eq!(post.effects().await, 1);
    post.close().await;
}

#[tokio::test]
async fn an_effect_whose_offset_was_not_stored_is_not_had_again() {
    let post = Post::open(Options::default()).await;
    let mut relay = post.relay();
    post.append(&[event(order_id(), 1), event(order_id(), 1)])
        .await;
    publish(&mut relay, 2).await;
    process(&mut post.inbox_of("first"), 2).await;
    // Another group has no offsets: it is as if none had been stored.
    let handled = process(&mut post.inbox_of("second"), 2).await;
    assert_eq!(
        handled,
        Processed {
            received: 2,
            duplicates: 2,
            ..Processed::default()
        }
    );
    assert_eq!(post.effects().await, 2);
    post.close().await;
}

#[tokio::test]
async fn an_event_whose_transaction_commits_late_is_not_passed_over() {
    let post = Post::open(Options::default()).await;
    let (mut relay, order_id) = (post.relay(), order_id());
    let mut slow = post.pool.begin().await.expect("the database is up");
    outbox::append(&mut slow, &[event(order_id, 1)])
        .await
        .expect("the database is up");
    // Later transaction, greater sequence number, committed first.
    post.append(&[event(order_id, 2)]).await;
    let nothing = relay
        .publish_batch()
        .await
        .expect("Kafka and Postgres are up");
    assert_eq!(
        nothing,
        Published::default(),
        "it waits for whoever began before it"
    );
    slow.commit().await.expect("the database is up");
    assert_eq!(publish(&mut relay, 2).await.acknowledged, 2);
    post.close().await;
}

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
            fenced: 0
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

#[tokio::test]
async fn what_cannot_be_understood_is_parked_whole_and_the_partition_goes_on() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    for partition in 0..2 {
        log::write(&post.shop, garbage(&post.topic, partition)).await;
    }
    let events: Vec<Event> = (0..8).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    publish(&mut relay, 8).await;
    let handled = process(&mut inbox, 10).await;
    assert_eq!(
        handled,
        Processed {
            received: 10,
            done: 8,
            dead_letters: 2,
            ..Processed::default()
        }
    );
    let (payload, reason): (Vec<u8>, String) =
        sqlx::query_as("select payload, reason from dead_letters limit 1")
            .fetch_one(&post.pool)
            .await
            .expect("it was parked");
    assert_eq!(payload, b"\xff not an event");
    assert_eq!(reason, "header ce_specversion is missing");
    post.close().await;
}

#[tokio::test]
async fn a_message_that_the_database_refuses_does_not_hurt_its_neighbors() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    let refused = event(order_id(), REFUSED);
    let order_id = refused.order_id;
    post.append(&[
        event(self::order_id(), 1),
        refused,
        event(self::order_id(), 1),
    ])
    .await;
    publish(&mut relay, 3).await;
    let handled = process(&mut inbox, 3).await;
    assert_eq!(
        handled,
        Processed {
            received: 3,
            done: 2,
            dead_letters: 1,
            ..Processed::default()
        }
    );
    assert_eq!(post.effects().await, 2);
    let parked: Uuid =
        sqlx::query_scalar("select (headers->>'ce_subject')::uuid from dead_letters")
            .fetch_one(&post.pool)
            .await
            .expect("it was parked");
    assert_eq!(parked, order_id);
    post.close().await;
}

#[tokio::test]
async fn a_message_that_asks_for_a_retry_keeps_its_place() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    let order_id = order_id();
    post.execute("update now set patient = false").await;
    post.append(&[event(order_id, RETRIED), event(order_id, 2)])
        .await;
    publish(&mut relay, 2).await;
    // The first try may come before the second message has arrived.
    eventually("what is behind it to wait, too", async || {
        let held = step(&mut inbox).await;
        assert_eq!(held.done, 0, "nothing overtakes it");
        match held.held_back {
            2 => Ok(()),
            _ => Err(held),
        }
    })
    .await;
    post.execute("update now set patient = true").await;
    assert_eq!(process(&mut inbox, 2).await.done, 2);
    let revisions: Vec<i64> = sqlx::query_scalar("select revision from effects order by at")
        .fetch_all(&post.pool)
        .await
        .expect("the database is up");
    assert_eq!(revisions, [RETRIED, 2]);
    post.close().await;
}

#[test]
fn services_carry_the_schema_of_messaging() {
    let reception = include_str!("../../services/reception/migrations/0001_messaging.sql");
    let barista = include_str!("../../services/barista/migrations/0001_messaging.sql");
    assert_eq!((reception, barista), (messaging::SCHEMA, messaging::SCHEMA));
}
