//! Every committed event is published, whatever happens to the relay.
//!
//! Here nobody runs in the background: the test calls each step, and so decides what happens between
//! two of them. A crash at that point is a step that is not called.

use crate::post::{Post, event, order_id, process, publish};
use messaging::{inbox::Processed, outbox, relay::Published};
use shop::harness::Options;

#[tokio::test]
async fn an_event_is_published_and_handled_once() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    post.append(&[event(order_id(), 1)]).await;
    assert_eq!(
        publish(&mut relay, 1).await,
        Published {
            acknowledged: 1,
            ..Published::default()
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

#[test]
fn services_carry_the_schema_of_messaging() {
    let reception = include_str!("../../services/reception/migrations/0001_messaging.sql");
    let barista = include_str!("../../services/barista/migrations/0001_messaging.sql");
    assert_eq!((reception, barista), (messaging::SCHEMA, messaging::SCHEMA));
}
