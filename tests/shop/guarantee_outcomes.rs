//! Every message is handled, put back, or parked with its reason; and none of them blocks others for
//! longer than it must.

use crate::{
    letter::Letter,
    log,
    post::{
        Effects, Post, REFUSED, RETRIED, event, garbage, order_id, process, process_until, publish,
        step,
    },
    raw_produce,
};
use messaging::{
    event::Event,
    inbox::{Inbox, Processed},
};
use shop::harness::{Options, eventually};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// What is wrong with a message, and the reason with which it is parked.
type Row = (fn(Letter) -> Letter, &'static str);

const PARKED: &[Row] = &[
    (
        |m| m.without("ce_specversion"),
        "header ce_specversion is missing",
    ),
    (
        |m| m.without("content-type"),
        "header content-type is missing",
    ),
    (|m| m.without("ce_id"), "header ce_id is missing"),
    (|m| m.without("ce_type"), "header ce_type is missing"),
    (|m| m.without("ce_subject"), "header ce_subject is missing"),
    (
        |m| m.with("ce_specversion", "2.0"),
        "header ce_specversion is \"2.0\", expected 1.0",
    ),
    (
        |m| m.with("content-type", "application/json"),
        "header content-type is \"application/json\", expected application/protobuf",
    ),
    (
        |m| m.with("ce_id", "7"),
        "header ce_id is \"7\", expected a UUID",
    ),
    (
        |m| m.with("ce_subject", "latte"),
        "header ce_subject is \"latte\", expected a UUID",
    ),
    (
        |mut m| {
            m.headers.retain(|(name, _)| *name != "ce_id");
            m.headers.push(("ce_id", None));
            m
        },
        "header ce_id is missing",
    ),
    (
        |m| Letter { payload: None, ..m },
        "the message has no value",
    ),
    (
        |m| Letter {
            payload: Some(b"latte".to_vec()),
            ..m
        },
        "not a revision",
    ),
];

/// What is odd about a message that is handled all the same.
const HANDLED: &[fn(Letter) -> Letter] = &[
    |m| m,
    |m| m.with("content-type", "Application/Protobuf"),
    |m| m.with("ce_type", "coffeeshop.tomorrow.v1.Unknown"),
    |m| m.with("x-added-by-a-router", "1"),
    |m| m.without("ce_source"),
    |m| m.without("ce_time"),
    // The key has chosen the partition, and says nothing more.
    |m| Letter { key: None, ..m },
    |m| Letter {
        key: Some(b"\xff".to_vec()),
        ..m
    },
];

#[tokio::test]
async fn every_message_that_is_not_understood_is_parked_with_its_reason() {
    let post = Post::open(Options::default()).await;
    for (spoil, _) in PARKED {
        let letter = spoil(Letter::of_revision(order_id(), 2));
        log::write(&post.shop, letter.to(&post.topic, 0)).await;
    }
    let handled = process(&mut post.inbox(), PARKED.len()).await;
    assert_eq!(handled.dead_letters, PARKED.len());
    let expected: Vec<&str> = PARKED.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons(&post).await, expected);
    post.close().await;
}

#[tokio::test]
async fn a_message_that_is_merely_odd_is_handled() {
    let post = Post::open(Options::default()).await;
    for oddity in HANDLED {
        let letter = oddity(Letter::of_revision(order_id(), 2));
        log::write(&post.shop, letter.to(&post.topic, 0)).await;
    }
    assert_eq!(
        process(&mut post.inbox(), HANDLED.len()).await.done,
        HANDLED.len()
    );
    post.close().await;
}

#[tokio::test]
async fn a_header_whose_name_is_no_text_is_parked_and_the_partition_goes_on() {
    let post = Post::open(Options::default()).await;
    let broker = post.shop.servers.kafka_brokers();
    raw_produce::with_header(broker, &post.topic, 0, b"\xff\xfe").await;
    let letter = Letter::of_revision(order_id(), 2);
    log::write(&post.shop, letter.to(&post.topic, 0)).await;
    let handled = process(&mut post.inbox(), 2).await;
    assert_eq!((handled.dead_letters, handled.done), (1, 1));
    assert_eq!(reasons(&post).await, ["the name of a header is not UTF-8"]);
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
async fn a_message_that_is_put_back_waits_longer_each_time_and_alone() {
    let post = Post::open(Options::default()).await;
    let mut inbox = post.inbox();
    post.execute("update now set patient = false").await;
    let waits = Letter::of_revision(order_id(), RETRIED);
    log::write(&post.shop, waits.to(&post.topic, 0)).await;
    let mut pause = Duration::from_millis(100);
    let mut tried = next_try(&mut inbox).await;
    while pause < Duration::from_secs(3) {
        let again = next_try(&mut inbox).await;
        assert!(again - tried >= pause, "{:?} of {pause:?}", again - tried);
        (tried, pause) = (again, pause * 2);
    }
    // It waits for more than three seconds now. The other partition does not.
    for _ in 0..3 {
        let passes = Letter::of_revision(order_id(), 2);
        log::write(&post.shop, passes.to(&post.topic, 1)).await;
        let handled = something(&mut inbox).await;
        assert_eq!((handled.done, handled.held_back), (1, 0));
    }
    post.execute("update now set patient = true").await;
    assert_eq!(process(&mut inbox, 1).await.done, 1);
    post.close().await;
}

#[tokio::test]
async fn a_message_that_waits_for_a_lock_costs_its_neighbors_two_of_its_tries() {
    const LIMIT: Duration = Duration::from_secs(1);
    let post = Post::open(Options::default()).await;
    let (mut inbox, order_id) = (post.inbox_limited("statement_timeout", LIMIT), order_id());
    post.execute("create unique index on effects (order_id, revision)")
        .await;
    // The same row, not committed: whoever writes it, too, has to wait for what becomes of it.
    let mut lock = post.pool.begin().await.expect("the database is up");
    let locked = sqlx::query("insert into effects (order_id, revision) values ($1, 2)")
        .bind(order_id)
        .execute(&mut *lock);
    locked.await.expect("the row is new");
    let waits = Letter::of_revision(order_id, 2);
    log::write(&post.shop, waits.to(&post.topic, 0)).await;
    let (mut longest, mut handled) = (Duration::ZERO, Processed::default());
    while handled.held_back < 4 {
        let passes = Letter::of_revision(self::order_id(), 2);
        log::write(&post.shop, passes.to(&post.topic, 1)).await;
        let (written, passed) = (Instant::now(), handled.done + 1);
        while handled.done < passed {
            let processed = step(&mut inbox).await;
            assert!(processed.held_back <= 1, "only what waits is put back");
            handled += processed;
        }
        longest = longest.max(written.elapsed());
    }
    println!("a neighbor of a message that waits for a lock, at most {LIMIT:?}: {longest:?}");
    // The bound as the inbox states it, for statements that run into their limit.
    assert!(longest < 20 * LIMIT, "{longest:?}");
    lock.rollback().await.expect("the database is up");
    assert_eq!(process(&mut inbox, 1).await.done, 1);
    post.close().await;
}

/// When the message is tried and put back.
async fn next_try(inbox: &mut Inbox<Effects>) -> Instant {
    process_until(inbox, |processed| processed.held_back > 0).await;
    Instant::now()
}

/// The next step that does something.
async fn something(inbox: &mut Inbox<Effects>) -> Processed {
    process_until(inbox, |processed| *processed != Processed::default()).await
}

async fn reasons(post: &Post) -> Vec<String> {
    let reasons = sqlx::query_scalar("select reason from dead_letters order by dead_letter_id")
        .fetch_all(&post.pool)
        .await;
    reasons.expect("the database is up")
}
