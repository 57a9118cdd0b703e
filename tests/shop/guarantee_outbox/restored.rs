//! The database is from another cluster: refused, and brought home.
//!
//! A dump that was restored into a younger cluster differs from the original in nothing but what its
//! transaction ids mean. Here they are raised by a billion instead.

use crate::{
    count, log,
    post::{Post, event, order_id, publish},
};
use messaging::{
    outbox::{self, Foreign},
    relay::Published,
};
use shop::{
    customers::latte,
    harness::{Hosted, Options},
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const RESTORE: &str = "\
    update outbox set xid = (xid::text::bigint + 1000000000)::text::xid8; \
    update outbox_parts set cursor_xid = (cursor_xid::text::bigint + 1000000000)::text::xid8 \
    where cursor_xid > '0'";

#[tokio::test]
async fn a_restored_outbox_is_refused_and_the_way_out_sends_all_that_was_unsent_and_no_more() {
    let post = Post::open(Options::default()).await;
    let (mut relay, order) = (post.relay(), order_id());
    post.append(&[event(order, 1), event(order_id(), 1)]).await;
    publish(&mut relay, 2).await;
    post.append(&[event(order, 2)]).await;
    post.append(&[event(order, 3), event(order_id(), 1)]).await;
    refuse(&post.pool).await.expect("it is at home");
    post.execute(RESTORE).await;

    let foreign = refuse(&post.pool).await.expect_err("it is not from here");
    assert!(
        foreign.to_string().contains("select outbox_restored();"),
        "{foreign}"
    );
    let nothing = relay.publish_batch().await.expect("both are up");
    assert_eq!(nothing, Published::default(), "they would wait for years");
    assert_eq!(count(&post.pool, "select outbox_restored()").await, 3);

    refuse(&post.pool).await.expect("it has come home");
    let mut relay = post.relay();
    post.execute("delete from outbox_relays").await;
    assert_eq!(publish(&mut relay, 3).await.acknowledged, 3);
    post.append(&[event(order, 4)]).await;
    assert_eq!(publish(&mut relay, 1).await.acknowledged, 1);
    assert_eq!(
        log::read(&post.shop, &post.topic).await.len(),
        6,
        "none twice"
    );
    // Once more, and needlessly, changes nothing.
    assert_eq!(count(&post.pool, "select outbox_restored()").await, 0);
    post.close().await;
}

#[tokio::test]
async fn an_event_that_is_written_while_the_outbox_is_brought_home_is_sent() {
    let post = Post::open(Options::default()).await;
    let mut relay = post.relay();
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut relay, 1).await;
    post.execute(RESTORE).await;
    // It has its id before, and writes after.
    let mut early = post.pool.begin().await.expect("the database is up");
    let id = sqlx::query("select pg_current_xact_id()").execute(&mut *early);
    id.await.expect("the database is up");
    assert_eq!(count(&post.pool, "select outbox_restored()").await, 0);
    let appended = outbox::append(&mut early, &[event(order_id(), 1)]).await;
    appended.expect("the database is up");
    early.commit().await.expect("the database is up");

    let mut relay = post.relay();
    post.execute("delete from outbox_relays").await;
    publish(&mut relay, 1).await;
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), 2);
    post.close().await;
}

#[tokio::test]
async fn a_service_does_not_start_on_a_restored_outbox_until_it_was_brought_home() {
    let shop = crate::open_with(Options::default()).await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    for (service, pool) in [
        (&shop.reception, shop.reception_pool()),
        (&shop.barista, shop.barista_pool()),
    ] {
        service.stop().await.expect("it runs");
        sqlx::raw_sql(RESTORE)
            .execute(&pool)
            .await
            .expect("it is SQL");
        refused(service).await;
        assert_eq!(count(&pool, "select outbox_restored()").await, 0);
        service.start().await.expect("it has come home");
    }
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.close().await;
}

async fn refuse(pool: &PgPool) -> Result<(), Foreign> {
    outbox::refuse_foreign(pool, &CancellationToken::new()).await
}

/// The service ends with an error that says how to go on.
async fn refused(service: &Hosted) {
    let error = service
        .start()
        .await
        .expect_err("its outbox is not from here");
    assert!(
        format!("{error:#}").contains("select outbox_restored();"),
        "{error:#}"
    );
    service.stop().await.expect("it has ended");
}
