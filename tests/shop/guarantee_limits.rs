//! What runs into a time limit is split, given up or tried again, and costs nobody a message.

use crate::{
    count,
    letter::Letter,
    log,
    post::{Post, REFUSED, event, order_id, process, process_until, publish},
};
use messaging::inbox::{Error, Processed};
use shop::harness::{Options, UNSENT, eventually};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn a_batch_that_takes_longer_than_a_transaction_may_is_handled_one_by_one() {
    const MESSAGES: usize = 10;
    let post = Post::open(Options::default()).await;
    // Three of them fit into a transaction.
    let mut inbox = post.inbox_limited("transaction_timeout", Duration::from_secs(1));
    post.execute(
        "create function nap() returns trigger language plpgsql as \
             'begin perform pg_sleep(0.3); return new; end'; \
         create trigger nap before insert on effects for each row execute function nap()",
    )
    .await;
    for _ in 0..MESSAGES {
        let letter = Letter::of_revision(order_id(), 2);
        log::write(&post.shop, letter.to(&post.topic, 0)).await;
    }
    let handled = process(&mut inbox, MESSAGES).await;
    let all = Processed {
        received: MESSAGES,
        done: MESSAGES,
        ..Processed::default()
    };
    assert_eq!(handled, all, "none was put back or parked");
    assert_eq!(post.effects().await, MESSAGES as i64);
    post.close().await;
}

#[tokio::test]
async fn parking_that_gets_no_answer_is_given_up_and_tried_again() {
    let post = Post::open(Options::default()).await;
    let mut inbox = post.inbox();
    let refused = Letter::of_revision(order_id(), REFUSED);
    log::write(&post.shop, refused.to(&post.topic, 0)).await;
    let mut hold = post.pool.begin().await.expect("the database is up");
    let locked = sqlx::query("lock table dead_letters in access exclusive mode")
        .execute(&mut *hold)
        .await;
    locked.expect("nobody has it");
    // Nothing on the server ends the wait: the connections of this test have no limits.
    let given_up = timeout(Duration::from_secs(60), inbox.process_batch()).await;
    let given_up = given_up.expect("it does not wait for ever");
    assert!(matches!(given_up, Err(Error::Database(_))), "{given_up:?}");
    hold.commit().await.expect("the database is up");
    let parked = process_until(&mut inbox, |total| total.received > 0).await;
    assert_eq!(parked.dead_letters, 1, "{parked:?}");
    post.close().await;
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_does_not_cost_the_batch_in_hand() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    // It renews every third of its lease.
    let mut relay = post.relay_with(Duration::from_secs(30));
    post.append(&[event(order_id(), 1)]).await;
    publish(&mut relay, 1).await;
    post.append(&[event(order_id(), 1)]).await;
    let kafka = &post.shop.servers.kafka;
    kafka.pause().await.expect("it runs");
    post.execute(
        "create sequence refusals; \
         create function refuse() returns trigger language plpgsql as \
             'begin perform nextval(''refusals''); raise ''no''; end'; \
         create trigger refuse before update of lease_expire_time on outbox_parts \
             for each row execute function refuse()",
    )
    .await;
    let refused = async {
        let tried = "select count(*) from refusals where is_called";
        eventually("a renewal to fail", async || {
            match count(&post.pool, tried).await {
                0 => Err("none did"),
                _ => Ok(()),
            }
        })
        .await;
        kafka.resume().await.expect("it is paused");
    };
    let (published, ()) = tokio::join!(relay.publish_batch(), refused);
    assert_eq!(published.expect("Kafka is back").acknowledged, 1);
    assert_eq!(count(&post.pool, UNSENT).await, 0, "the cursor has moved");
    post.close().await;
}
