//! An event has its effect once, however often it is delivered.
//!
//! Here nobody runs in the background: the test calls each step, and so decides what happens between
//! two of them. A crash at that point is a step that is not called.

use crate::{
    log,
    post::{NOT_OURS, Post, REFUSED, RETRIED, event, garbage, order_id, process, publish, step},
};
use messaging::{event::Event, inbox::Processed};
use shop::harness::{Options, eventually};
use uuid::Uuid;

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

#[tokio::test]
async fn what_is_none_of_ours_opens_no_transaction() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    let events: Vec<Event> = (0..3).map(|_| event(order_id(), NOT_OURS)).collect();
    post.append(&events).await;
    publish(&mut relay, 3).await;
    // From here on a transaction cannot even begin.
    post.pool.close().await;
    let handled = process(&mut inbox, 3).await;
    assert_eq!(
        handled,
        Processed {
            received: 3,
            absorbed: 3,
            ..Processed::default()
        }
    );
    post.close().await;
}
