//! How days come and leave.

use super::{days, opened, sweep};
use crate::{
    count, log,
    post::{Post, event, order_id, process, publish},
};
use chrono::Utc;
use messaging::{housekeeping::Pass, outbox};
use shop::{
    customers::latte,
    harness::{Options, eventually},
};
use sqlx::{Connection as _, PgConnection, PgPool};

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
async fn a_day_that_was_detached_with_an_unsent_event_in_it_is_not_dropped() {
    let (post, housekeeping) = opened(days(5)).await;
    post.append(&[event(order_id(), 1)]).await;
    age(&post, "4 days").await;
    // As a crash after the detach leaves it; its writer was none that we could see.
    let day = (Utc::now() - days(4)).format("outbox_%Y%m%d");
    let detach = format!(
        "comment on table {day} is 'leaves outbox: see housekeeping'; \
         alter table outbox detach partition {day}"
    );
    let detached = sqlx::raw_sql(sqlx::AssertSqlSafe(detach)).execute(&post.pool);
    detached.await.expect("it is a partition");
    sweep(&housekeeping, Utc::now()).await;
    assert_eq!(self::detached(&post).await, 1, "all there is of an event");

    // As the error says.
    let again = format!(
        "insert into outbox (part, event_id, event_type, order_id, revision, occur_time, payload) \
         select part, event_id, event_type, order_id, revision, occur_time, payload from {day}; \
         drop table {day}"
    );
    let again = sqlx::raw_sql(sqlx::AssertSqlSafe(again)).execute(&post.pool);
    again.await.expect("today has a partition");
    publish(&mut post.relay(), 1).await;
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), 1);
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
