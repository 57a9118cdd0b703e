//! What is sent and what is remembered long enough leaves, while traffic runs; nothing else does.
//!
//! The days pass by argument: housekeeping is told what time it is.

use crate::{
    count, log,
    post::{Post, event, order_id, process, publish, step},
};
use chrono::{DateTime, TimeDelta, Utc};
use lifecycle::Stop;
use messaging::{
    event::Event,
    housekeeping::{Housekeeping, Pass},
    outbox,
};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

#[tokio::test]
async fn sent_events_leave_and_an_unsent_one_stays_however_old() {
    let (post, housekeeping) = opened(days(5)).await;
    let mut relay = post.relay();
    post.append(&[event(order_id(), 1), event(order_id(), 1)])
        .await;
    publish(&mut relay, 2).await;
    age(&post, "4 days").await;
    post.append(&[event(order_id(), 1)]).await;
    age(&post, "3 days").await;
    let pass = sweep(&housekeeping, Utc::now()).await;
    // Four of the days are over; today and yesterday are not.
    assert_eq!((pass.left, pass.unsent), (3, 1), "{pass:?}");
    assert_eq!(outbox(&post).await, 1, "the unsent event is there");
    publish(&mut relay, 1).await;
    let pass = sweep(&housekeeping, Utc::now()).await;
    assert_eq!((pass.left, pass.unsent), (1, 0), "{pass:?}");
    assert_eq!(outbox(&post).await, 0, "all are sent");
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), 3);
    post.close().await;
}

#[tokio::test]
async fn a_transaction_that_is_still_open_keeps_the_day_on_which_it_began() {
    let post = Post::open(Options::default()).await;
    let mut late = post.pool.begin().await.expect("the database is up");
    outbox::append(&mut late, &[event(order_id(), 1)])
        .await
        .expect("today has a partition");
    // It began today, whatever the day may be by now.
    let housekeeping = post.housekeeping();
    sweep(&housekeeping, Utc::now() + days(10)).await;
    late.commit().await.expect("its partition is still there");
    assert_eq!(outbox(&post).await, 1);
    publish(&mut post.relay(), 1).await;
    sweep(&housekeeping, Utc::now() + days(10)).await;
    assert_eq!(outbox(&post).await, 0, "now it may leave");
    post.close().await;
}

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
async fn nobody_waits_while_partitions_come_and_go() {
    let (post, housekeeping) = opened(days(5)).await;
    let mut reader = reader(&post).await;
    let traffic = async {
        until_detaching(&post.pool).await;
        for _ in 0..20 {
            append_impatiently(&post).await;
        }
        read_impatiently(&post).await;
        sqlx::raw_sql("commit").execute(&mut reader).await
    };
    let (pass, committed) = tokio::join!(housekeeping.pass(Utc::now() + days(1)), traffic);
    committed.expect("the database is up");
    let pass = pass.expect("the reader has gone");
    assert!(pass.made > 0 && pass.left > 0, "{pass:?}");
    publish(&mut post.relay(), 20).await;
    assert_eq!(process(&mut post.inbox(), 20).await.done, 20);
    post.close().await;
}

#[tokio::test]
async fn whatever_interrupts_a_leave_the_next_pass_finishes_it() {
    let (post, housekeeping) = opened(days(5)).await;
    let reader = reader(&post).await;
    let (interrupted, ()) = tokio::join!(housekeeping.pass(Utc::now()), kill_housekeeping(&post));
    interrupted.expect_err("its session was ended");
    assert_eq!(pending(&post).await, 1);
    reader.close().await.expect("the database is up");
    // Four days of the outbox are over, this one among them.
    assert_eq!(sweep(&housekeeping, Utc::now()).await.left, 4);
    assert_eq!(pending(&post).await, 0);
    assert_eq!(detached(&post).await, 0);
    post.close().await;
}

#[tokio::test]
async fn what_was_detached_is_dropped_later_unless_people_detached_it() {
    let (post, housekeeping) = opened(days(5)).await;
    let reader = reader(&post).await;
    let (killed, ()) = tokio::join!(housekeeping.pass(Utc::now()), kill_housekeeping(&post));
    killed.expect_err("its session was ended");
    reader.close().await.expect("the database is up");
    // As a crash between detach and drop leaves it, and as people do.
    for (day, how) in [(5, "finalize"), (4, "")] {
        let name = (Utc::now() - days(day)).format("outbox_%Y%m%d");
        let detach = format!("alter table outbox detach partition {name} {how}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(detach))
            .execute(&post.pool)
            .await
            .expect("it is a partition");
    }
    assert_eq!(detached(&post).await, 2);
    assert_eq!(sweep(&housekeeping, Utc::now()).await.left, 3);
    assert_eq!(detached(&post).await, 1, "it is theirs");
    post.close().await;
}

#[tokio::test]
async fn one_process_at_a_time_keeps_house() {
    let (post, one) = opened(days(5)).await;
    let other = post.housekeeping();
    let reader = reader(&post).await;
    let (first, second) = tokio::join!(one.pass(Utc::now()), async {
        until_detaching(&post.pool).await;
        let second = other.pass(Utc::now()).await;
        reader.close().await.expect("the database is up");
        second
    });
    let busy = Pass {
        busy: true,
        ..Pass::default()
    };
    assert_eq!(second.expect("the database is up"), busy);
    assert_eq!(first.expect("the reader has gone").left, 4);
    assert_eq!(
        sweep(&other, Utc::now()).await,
        Pass::default(),
        "nothing is left to do"
    );
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
async fn a_shop_that_was_closed_for_weeks_opens_with_todays_partitions() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    for (service, pool) in [
        (&shop.reception, shop.reception_pool()),
        (&shop.barista, shop.barista_pool()),
    ] {
        service.stop().await.expect("it ends well");
        forget_all_days(&pool).await;
        service.start().await.expect("it starts again");
    }
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.close().await;
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

/// A post that has been in use for some days, with a partition for each.
async fn opened(ago: TimeDelta) -> (Post, Housekeeping) {
    let post = Post::open(Options::default()).await;
    post.execute("drop table outbox_first; drop table inbox_first")
        .await;
    let housekeeping = post.housekeeping();
    sweep(&housekeeping, Utc::now() - ago).await;
    housekeeping.open(&Stop::new()).await;
    (post, housekeeping)
}

async fn sweep(housekeeping: &Housekeeping, now: DateTime<Utc>) -> Pass {
    housekeeping.pass(now).await.expect("nobody is in the way")
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
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

/// Moves the events of today into the past.
async fn age(post: &Post, by: &str) {
    let today = "update outbox set create_time = create_time - $1::text::interval \
                 where create_time > now() - interval '1 hour'";
    let moved = sqlx::query(today).bind(by).execute(&post.pool).await;
    moved.expect("that day has a partition");
}

/// Somebody who looks into the outbox, and takes their time.
async fn reader(post: &Post) -> PgConnection {
    let options = post.pool.connect_options();
    let mut reader = PgConnection::connect_with(&options)
        .await
        .expect("the database is up");
    sqlx::raw_sql("begin; select count(*) from outbox")
        .execute(&mut reader)
        .await
        .expect("the database is up");
    reader
}

const DETACHING: &str = "select count(*) from pg_stat_activity \
    where datname = current_database() and wait_event_type = 'Lock' \
      and query ~ '^alter table .* detach'";

async fn until_detaching(pool: &PgPool) {
    eventually(
        "a partition to wait for its reader",
        async || match count(pool, DETACHING).await {
            1 => Ok(()),
            waiting => Err(waiting),
        },
    )
    .await;
}

async fn kill_housekeeping(post: &Post) {
    until_detaching(&post.pool).await;
    post.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and query ~ '^alter table .* detach'",
    )
    .await;
}

/// As a customer would, who has no time to wait for a lock.
async fn append_impatiently(post: &Post) {
    let mut tx = post.pool.begin().await.expect("the database is up");
    sqlx::raw_sql("set local lock_timeout = '250ms'")
        .execute(&mut *tx)
        .await
        .expect("the database is up");
    outbox::append(&mut tx, &[event(order_id(), 1)])
        .await
        .expect("nobody is in the way");
    tx.commit().await.expect("the database is up");
}

/// As a relay would, which reads through all partitions.
async fn read_impatiently(post: &Post) {
    let read = "set local lock_timeout = '250ms'; select count(*) from outbox";
    let mut tx = post.pool.begin().await.expect("the database is up");
    let read = sqlx::raw_sql(read).execute(&mut *tx).await;
    read.expect("nobody is in the way");
}

/// A database whose last partitions ended long ago.
async fn forget_all_days(pool: &PgPool) {
    let forget = "do $$ declare day text; begin \
            for day in select inhrelid::regclass from pg_inherits \
                       where inhparent in ('outbox'::regclass, 'inbox'::regclass) \
            loop execute 'drop table ' || day; end loop; \
        end $$; \
        create table outbox_first partition of outbox \
            for values from (minvalue) to ('2025-09-01'); \
        create table inbox_first partition of inbox \
            for values from (minvalue) to ('01990000-0000-0000-0000-000000000000')";
    let forgotten = sqlx::raw_sql(forget).execute(pool).await;
    forgotten.expect("nobody uses them");
}

async fn outbox(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from outbox").await
}

async fn inbox(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from inbox").await
}

async fn pending(post: &Post) -> i64 {
    let pending = "select count(*) from pg_inherits where inhdetachpending";
    count(&post.pool, pending).await
}

/// Tables that are partitions no more.
async fn detached(post: &Post) -> i64 {
    let detached = "select count(*) from pg_class \
                    where relkind = 'r' and not relispartition and relname ~ '^outbox_2'";
    count(&post.pool, detached).await
}

/// How many dead letters have this in their reason.
async fn reasons(post: &Post, text: &str) -> i64 {
    sqlx::query_scalar("select count(*) from dead_letters where reason like '%' || $1 || '%'")
        .bind(text)
        .fetch_one(&post.pool)
        .await
        .expect("the database is up")
}
