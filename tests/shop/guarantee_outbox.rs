//! Every committed event is published, whatever happens to the relay.
//!
//! Here nobody runs in the background: the test calls each step, and so decides what happens between
//! two of them. A crash at that point is a step that is not called.

/// A relay dies between the acks and the cursor.
mod crash;
/// Somebody else's transaction is in the way.
mod horizon;
/// Kafka is away, or loses what it had acknowledged.
mod outage;
/// Kafka will never take an event.
mod refused;
/// The database is from another cluster.
mod restored;

use crate::{
    post::{Post, event, order_id, process, publish},
    upgrade::schema,
};
use messaging::{SCHEMAS, event::Event, inbox::Processed, outbox, relay::Published};
use shop::{harness::Options, services::Service};
use std::slice;
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
async fn an_event_that_commits_late_is_lost_by_a_serial_cursor_and_not_by_the_relay() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut serial) = (post.relay(), SerialCursor::default());
    let (first, second) = two_events();
    let mut slow = post.pool.begin().await.expect("the database is up");
    outbox::append(&mut slow, slice::from_ref(&first))
        .await
        .expect("the database is up");
    // Later transaction, greater sequence number, committed first.
    post.append(slice::from_ref(&second)).await;
    assert_eq!(serial.next(&post).await, [second.event_id]);
    let nothing = relay.publish_batch().await.expect("both are up");
    assert_eq!(nothing, Published::default(), "it waits for the older one");
    slow.commit().await.expect("the database is up");
    assert!(serial.next(&post).await.is_empty(), "the first is lost");
    assert_eq!(publish(&mut relay, 2).await.acknowledged, 2);
    post.close().await;
}

/// How an outbox must not be read: what is above the last row read, by its number alone.
#[derive(Default)]
struct SerialCursor(i64);

impl SerialCursor {
    async fn next(&mut self, post: &Post) -> Vec<Uuid> {
        let rows: Vec<(i64, Uuid)> =
            sqlx::query_as("select seq, event_id from outbox where seq > $1 order by seq")
                .bind(self.0)
                .fetch_all(&post.pool)
                .await
                .expect("the database is up");
        self.0 = rows.last().map_or(self.0, |row| row.0);
        rows.into_iter().map(|row| row.1).collect()
    }
}

/// Of one order, so of one part.
fn two_events() -> (Event, Event) {
    let order_id = order_id();
    (event(order_id, 1), event(order_id, 2))
}

#[tokio::test]
async fn services_carry_the_schema_of_messaging() {
    for service in [Service::Reception, Service::Barista] {
        let migrations = schema::today(service).await;
        let carried = migrations.iter().map(|migration| migration.sql.as_str());
        let carried = carried.filter(|sql| SCHEMAS.contains(sql));
        assert_eq!(carried.collect::<Vec<_>>(), SCHEMAS, "{}", service.name());
    }
}
