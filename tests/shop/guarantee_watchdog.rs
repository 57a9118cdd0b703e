//! A consumer that runs and delivers nothing is noticed and replaced; one that has its reasons is not.

use crate::{
    letter::Letter,
    log,
    post::{Effects, Post, RETRIED, order_id, process, step},
};
use messaging::inbox::{Inbox, Processed};
use shop::harness::{Options, eventually, patience};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Shorter than any service may have it.
const LIMIT: Duration = Duration::from_secs(1);

// The proxy must go on while Kafka's client blocks the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_delivers_nothing_is_replaced() {
    let post = Post::open(Options {
        kafka_proxy: true,
        ..Options::default()
    })
    .await;
    let mut inbox = post.inbox_watched(10 * LIMIT);
    write(&post, 2, 0).await;
    process(&mut inbox, 1).await;
    // Nothing says that its connections are dead. By itself it would notice after a minute.
    post.shop.servers.kafka_proxy().strand();
    write(&post, 2, 0).await;
    let handled = one_more(&mut inbox).await;
    assert_eq!((handled.done, handled.replaced_consumers), (1, 1));
    post.close().await;
}

#[tokio::test]
async fn a_partition_that_waits_for_a_retry_costs_no_consumer() {
    let post = Post::open(Options::default()).await;
    let mut inbox = post.inbox_watched(LIMIT);
    post.execute("update now set patient = false").await;
    write(&post, RETRIED, 0).await;
    // The pause between two tries is longer than the limit by then.
    let (until, mut handled) = (Instant::now() + 8 * LIMIT, Processed::default());
    while Instant::now() < until {
        handled += step(&mut inbox).await;
    }
    assert!(handled.held_back > 4, "{handled:?}");
    post.execute("update now set patient = true").await;
    handled += process(&mut inbox, 1).await;
    assert_eq!((handled.done, handled.replaced_consumers), (1, 0));
    post.close().await;
}

#[tokio::test]
async fn a_batch_that_waits_for_the_database_costs_no_consumer() {
    let post = Post::open(Options::default()).await;
    let mut inbox = post.inbox_watched(LIMIT);
    for partition in 0..2 {
        write(&post, 2, partition).await;
    }
    let mut hold = post.pool.begin().await.expect("the database is up");
    let locked = sqlx::query("lock table now in access exclusive mode")
        .execute(&mut *hold)
        .await;
    locked.expect("nobody has it");
    let release = async {
        sleep(4 * LIMIT).await;
        hold.commit().await.expect("the database is up");
    };
    let (handled, ()) = tokio::join!(process(&mut inbox, 2), release);
    assert_eq!((handled.done, handled.replaced_consumers), (2, 0));
    assert_eq!(idle(&mut inbox).await, Processed::default());
    post.close().await;
}

#[tokio::test]
async fn a_kafka_that_is_away_costs_no_consumer() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let mut inbox = post.inbox_watched(LIMIT);
    write(&post, 2, 0).await;
    let mut handled = process(&mut inbox, 1).await;
    let kafka = &post.shop.servers.kafka;
    kafka.pause().await.expect("it runs");
    // A look asks for longer than this watchdog's limit before it gives up.
    handled += idle_for(&mut inbox, 8 * LIMIT).await;
    kafka.resume().await.expect("it is paused");
    write(&post, 2, 1).await;
    handled += one_more(&mut inbox).await;
    assert_eq!((handled.done, handled.replaced_consumers), (2, 0));
    post.close().await;
}

/// Processes until one more message had its effect. What a consumer noticed of a broken line comes
/// before it, as errors.
async fn one_more(inbox: &mut Inbox<Effects>) -> Processed {
    let mut total = Processed::default();
    eventually("Kafka to deliver again", async || {
        match timeout(patience(), inbox.process_batch()).await {
            Ok(Ok(processed)) => total += processed,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("nothing comes".to_owned()),
        }
        match total.done {
            1 => Ok(()),
            _ => Err(format!("{total:?}")),
        }
    })
    .await;
    total
}

async fn write(post: &Post, revision: i64, partition: i32) {
    let letter = Letter::of_revision(order_id(), revision);
    log::write(&post.shop, letter.to(&post.topic, partition)).await;
}

/// Has nothing to do for longer than the watchdog waits.
async fn idle(inbox: &mut Inbox<Effects>) -> Processed {
    idle_for(inbox, 4 * LIMIT).await
}

/// Whatever Kafka answers meanwhile is no matter.
async fn idle_for(inbox: &mut Inbox<Effects>, time: Duration) -> Processed {
    let (until, mut total) = (Instant::now() + time, Processed::default());
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if let Ok(Ok(processed)) = timeout(left, inbox.process_batch()).await {
            total += processed;
        }
    }
    total
}
