//! What the inbox remembers, and what it cannot.

use super::{days, opened, sweep};
use crate::{
    count,
    post::{Post, event, order_id, process, publish, step},
};
use chrono::{DateTime, Utc};
use messaging::event::Event;
use shop::{
    harness::{Options, Shop},
    services::Service,
};
use uuid::Uuid;

#[tokio::test]
async fn an_event_older_than_the_oldest_partition_is_parked_and_never_applied_again() {
    let post = Post::open(Options::default()).await;
    let mut relay = post.relay();
    let order_id = order_id();
    post.append(&[event(order_id, 1)]).await;
    publish(&mut relay, 1).await;
    process(&mut post.inbox_of("first"), 1).await;
    // A neighbor in the same batch: of one order, so of one partition.
    let later = Utc::now() + days(30);
    post.append(&[made_at(later, event(order_id, 2))]).await;
    let pass = sweep(&post.housekeeping(), later).await;
    assert_eq!(inbox(&post).await, 0, "it is forgotten: {pass:?}");
    publish(&mut relay, 1).await;
    // Parked once, and delivered again for ever.
    for (group, parked) in [("second", 1), ("third", 0)] {
        let handled = process(&mut post.inbox_of(group), 2).await;
        assert_eq!(handled.dead_letters, parked, "{group}: {handled:?}");
    }
    assert_eq!(post.effects().await, 2, "each event had one");
    assert_eq!(
        reasons(&post, "before all that the inbox remembers").await,
        1
    );
    assert_eq!(
        count(&post.pool, "select count(*) from dead_letters").await,
        1
    );
    post.close().await;
}

#[tokio::test]
async fn an_event_from_the_future_or_from_no_time_is_parked_and_its_neighbors_are_handled() {
    let post = Post::open(Options::default()).await;
    sweep(&post.housekeeping(), Utc::now()).await;
    let (early, mut timeless) = (event(order_id(), 1), event(order_id(), 1));
    timeless.event_id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
        .parse()
        .expect("it is a UUID");
    post.append(&[
        made_at(Utc::now() + days(10), early),
        timeless,
        made_at(Utc::now() + days(3), event(order_id(), 1)),
        event(order_id(), 1),
    ])
    .await;
    publish(&mut post.relay(), 4).await;
    let handled = process(&mut post.inbox(), 4).await;
    assert_eq!((handled.done, handled.dead_letters), (2, 2), "{handled:?}");
    assert_eq!(reasons(&post, "was made in the future").await, 1);
    assert_eq!(reasons(&post, "has no UUIDv7").await, 1);
    // What the inbox does not know is not said to be known.
    let unknown = "select count(*) from dead_letters where event_id is null";
    assert_eq!(count(&post.pool, unknown).await, 2);
    assert_eq!(post.effects().await, 2);
    post.close().await;
}

#[tokio::test]
async fn an_event_that_comes_again_on_another_day_meets_its_first_row() {
    let (post, housekeeping) = opened(days(5)).await;
    sweep(&housekeeping, Utc::now()).await;
    let yesterday = Utc::now() - days(1);
    post.append(&[made_at(yesterday, event(order_id(), 1))])
        .await;
    publish(&mut post.relay(), 1).await;
    process(&mut post.inbox_of("first"), 1).await;
    let place: String = sqlx::query_scalar("select tableoid::regclass::text from inbox")
        .fetch_one(&post.pool)
        .await
        .expect("it is remembered");
    assert_eq!(place, format!("inbox_{}", yesterday.format("%Y%m%d")));
    post.execute("update inbox set receive_time = receive_time - interval '1 day'")
        .await;
    sweep(&housekeeping, Utc::now() + days(1)).await;
    let again = process(&mut post.inbox_of("second"), 1).await;
    assert_eq!(again.duplicates, 1, "{again:?}");
    assert_eq!(post.effects().await, 1);
    post.close().await;
}

#[tokio::test]
async fn a_row_without_a_partition_of_ours_parks_no_message() {
    let post = Post::open(Options::default()).await;
    post.execute(
        "drop table effects; create table effects (order_id uuid, revision bigint, \
             at timestamptz default clock_timestamp()) partition by range (at)",
    )
    .await;
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut post.relay(), 1).await;
    let mut inbox = post.inbox();
    let held = step(&mut inbox).await;
    assert_eq!((held.held_back, held.dead_letters), (1, 0), "{held:?}");
    post.execute("create table effects_default partition of effects default")
        .await;
    assert_eq!(process(&mut inbox, 1).await.done, 1);
    post.close().await;
}

#[tokio::test]
async fn a_memory_shorter_than_kafkas_is_complained_about_or_refused() {
    let post = Post::open(Options::default()).await;
    // Topics of tests have the broker's defaults: a week, in segments of a week.
    for (remembers, complaint) in [(days(13), true), (days(14), false)] {
        let inbox_retention = remembers.to_std().ok();
        let housekeeping = post.housekeeping_with(inbox_retention);
        let said = housekeeping.compare_retention().await;
        let said = said.expect("Kafka is up");
        assert_eq!(said.is_some(), complaint, "{said:?}");
    }
    post.close().await;
    let options = Options::default().with(Service::Reception, "INBOX_RETENTION", "1day");
    let shop = Shop::prepare(options)
        .await
        .expect("databases and topics can be made");
    let refused = shop
        .reception
        .start()
        .await
        .expect_err("it forgets too early");
    let refused = format!("{refused:#}");
    assert!(refused.contains("parked as a dead letter"), "{refused}");
    shop.discard().await;
}

/// The same event, made at another time.
fn made_at(time: DateTime<Utc>, mut event: Event) -> Event {
    let milliseconds = u64::try_from(time.timestamp_millis()).expect("it is after 1970");
    event.event_id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &rand()).into_uuid();
    event
}

fn rand() -> [u8; 10] {
    let id = Uuid::new_v4();
    id.as_bytes()[..10].try_into().expect("it has 16 bytes")
}

async fn inbox(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from inbox").await
}

/// How many dead letters have this in their reason.
async fn reasons(post: &Post, text: &str) -> i64 {
    sqlx::query_scalar("select count(*) from dead_letters where reason like '%' || $1 || '%'")
        .bind(text)
        .fetch_one(&post.pool)
        .await
        .expect("the database is up")
}
