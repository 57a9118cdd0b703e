//! A relay dies between the acks and the cursor: duplicates, never gaps.

use crate::{
    log,
    post::{Post, event, order_id, process},
};
use messaging::{event::Event, inbox::Processed, relay::Relay};
use shop::harness::{Options, UNSENT, eventually};
use std::{collections::HashSet, time::Duration};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

/// Events that each relay is to send.
const EVENTS: usize = 200;
/// Relays that die, of each kind.
const DEATHS: usize = 2;

#[tokio::test]
async fn a_relay_that_dies_before_it_moves_the_cursor_repeats_events_and_skips_none() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let mut said = HashSet::new();
    for _ in 0..DEATHS {
        let relay = successor(&post).await;
        said.extend(append(&post).await);
        die_while_acks_are_held(&post, relay).await;
        let relay = successor(&post).await;
        said.extend(append(&post).await);
        die_between_acks_and_cursor(&post, relay).await;
    }
    successor(&post).await;

    let sent = sent(&post).await;
    let distinct: HashSet<Uuid> = sent.iter().copied().collect();
    assert_eq!(distinct, said, "none is missing, none is made up");
    let least = said.len() + DEATHS * EVENTS;
    assert!(sent.len() >= least, "the deaths bit: {}", sent.len());
    let handled = process(&mut post.inbox(), sent.len()).await;
    let expected = Processed {
        received: sent.len(),
        done: said.len(),
        duplicates: sent.len() - said.len(),
        ..Processed::default()
    };
    assert_eq!(handled, expected);
    post.close().await;
}

/// A relay that holds all parts, after it has sent what its predecessor left behind.
async fn successor(post: &Post) -> Relay {
    // As when the dead one's leases have run out.
    post.execute(
        "delete from outbox_relays; update outbox_parts set lease_expire_time = '-infinity'",
    )
    .await;
    let mut relay = post.relay();
    eventually("everything to be sent", async || {
        relay.publish_batch().await.expect("both are up");
        match unsent(post).await {
            0 => Ok(()),
            unsent => Err(unsent),
        }
    })
    .await;
    relay
}

async fn unsent(post: &Post) -> i64 {
    crate::count(&post.pool, UNSENT).await
}

async fn append(post: &Post) -> Vec<Uuid> {
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    events.into_iter().map(|event| event.event_id).collect()
}

/// Kafka has the events, or not; nobody hears of it.
async fn die_while_acks_are_held(post: &Post, relay: Relay) {
    let kafka = &post.shop.servers.kafka;
    kafka.pause().await.expect("it runs");
    let mut publishing = spawn(relay);
    // Wherever that leaves it, it is before the acks.
    sleep(Duration::from_millis(100)).await;
    publishing.abort_all();
    let ended = publishing.join_next().await.expect("it was spawned");
    assert!(ended.expect_err("acks are held").is_cancelled());
    kafka.resume().await.expect("it is paused");
}

/// Kafka has acknowledged the events, and the cursor cannot move: its row is locked.
async fn die_between_acks_and_cursor(post: &Post, relay: Relay) {
    let before = sent(post).await.len();
    let mut lock = post.pool.begin().await.expect("the database is up");
    sqlx::query("select from outbox_parts for update")
        .execute(&mut *lock)
        .await
        .expect("the database is up");
    let mut publishing = spawn(relay);
    eventually("the cursor to be waited for", async || {
        match waiting(post).await {
            0 => Err(()),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(
        sent(post).await.len(),
        before + EVENTS,
        "all are acknowledged"
    );
    publishing.abort_all();
    publishing.join_next().await;
    // The statement outlives its client, unless the machine dies with it.
    post.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where wait_event_type = 'Lock' and datname = current_database()",
    )
    .await;
    lock.rollback().await.expect("the database is up");
}

async fn waiting(post: &Post) -> i64 {
    crate::count(
        &post.pool,
        "select count(*) from pg_stat_activity \
         where wait_event_type = 'Lock' and query like 'update outbox_parts p %' \
           and datname = current_database()",
    )
    .await
}

fn spawn(mut relay: Relay) -> JoinSet<()> {
    let mut publishing = JoinSet::new();
    publishing.spawn(async move {
        let _ = relay.publish_batch().await;
    });
    publishing
}

async fn sent(post: &Post) -> Vec<Uuid> {
    let messages = log::read(&post.shop, &post.topic).await;
    messages
        .iter()
        .map(|message| log::headers(message)["ce_id"].parse().expect("a UUID"))
        .collect()
}
