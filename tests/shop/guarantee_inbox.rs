//! An event has its effect once, however often it is delivered.
//!
//! Here nobody runs in the background: the test calls each step, and so decides what happens between
//! two of them. A crash at that point is a step that is not called, or a handler that panics there.

use crate::{
    delivery,
    post::{Crash, Effects, NOT_OURS, Post, event, order_id, process, publish, step},
};
use futures::FutureExt as _;
use messaging::{
    event::Event,
    inbox::{Inbox, Processed},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
};
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::{join, time::timeout};

/// How often the same is delivered.
const TIMES: usize = 20;

#[tokio::test]
async fn an_event_that_comes_twenty_times_at_once_has_its_effect_once() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    post.append(&vec![event(order_id(), 1); TIMES]).await;
    publish(&mut relay, TIMES).await;
    assert_eq!(process(&mut inbox, TIMES).await, once_of(TIMES));
    assert_eq!(post.effects().await, 1);
    post.close().await;
}

#[tokio::test]
async fn an_event_that_comes_again_and_again_has_its_effect_once() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox, event) = (post.relay(), post.inbox(), event(order_id(), 1));
    let mut handled = Processed::default();
    for _ in 0..TIMES {
        post.append(std::slice::from_ref(&event)).await;
        publish(&mut relay, 1).await;
        handled += process(&mut inbox, 1).await;
    }
    assert_eq!(handled, once_of(TIMES));
    assert_eq!(post.effects().await, 1);
    post.close().await;
}

#[tokio::test]
async fn an_effect_whose_offset_was_not_stored_is_not_had_again() {
    let post = Post::open(Options::default()).await;
    let mut relay = post.relay();
    post.append(&[event(order_id(), 1), event(order_id(), 1)])
        .await;
    publish(&mut relay, 2).await;
    process(&mut post.inbox_of("first"), 2).await;
    // Another group has no offsets: it is as if none had been stored.
    let handled = process(&mut post.inbox_of("second"), 2).await;
    assert_eq!(handled, known(2));
    assert_eq!(post.effects().await, 2);
    post.close().await;
}

#[tokio::test]
async fn a_crash_after_the_commit_repeats_no_effect() {
    let post = Post::open(Options::default()).await;
    post.append(&[event(order_id(), 1), event(order_id(), 1)])
        .await;
    publish(&mut post.relay(), 2).await;
    die(&post, Crash::AfterCommit).await;
    let had = post.effects().await;
    assert!(had > 0, "the transaction was committed");
    // The same group goes on where offsets were stored: nowhere.
    let handled = process(&mut post.inbox(), 2).await;
    assert_eq!(i64::try_from(handled.duplicates), Ok(had));
    assert_eq!(post.effects().await, 2);
    post.close().await;
}

#[tokio::test]
async fn a_crash_before_the_commit_loses_no_effect() {
    let post = Post::open(Options::default()).await;
    post.append(&[event(order_id(), 1), event(order_id(), 1)])
        .await;
    publish(&mut post.relay(), 2).await;
    die(&post, Crash::BeforeCommit).await;
    assert_eq!(post.effects().await, 0);
    assert_eq!(process(&mut post.inbox(), 2).await.done, 2);
    assert_eq!(post.effects().await, 2);
    post.close().await;
}

#[tokio::test]
async fn two_consumers_that_hold_the_same_messages_have_one_effect() {
    const EVENTS: usize = 6;
    let post = Post::open(Options::default()).await;
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    publish(&mut post.relay(), EVENTS).await;
    // Two groups, as two members of one of which Kafka believes the first dead.
    let (mut first, mut twin) = (post.inbox_of("first"), post.inbox_of("twin"));
    let hold = hold_handlers(&post).await;
    let release = async {
        // One waits in its handler, the other one for the first one's ids.
        until_waiting(&post, 2).await;
        hold.commit().await.expect("the database is up");
    };
    let (one, other, ()) = join!(
        process(&mut first, EVENTS),
        process(&mut twin, EVENTS),
        release
    );
    assert_eq!(
        (one.done + other.done, one.duplicates + other.duplicates),
        (EVENTS, EVENTS)
    );
    assert_eq!(post.effects().await, EVENTS as i64);
    post.close().await;
}

#[tokio::test]
async fn a_rebalance_waits_for_the_batch_in_hand() {
    const EVENTS: usize = 16;
    let post = Post::open(Options::default()).await;
    let (mut relay, mut first, mut second) = (post.relay(), post.inbox(), post.inbox());
    // A partition each, so that the newcomer is given one of them.
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    publish(&mut relay, EVENTS).await;
    let hold = hold_handlers(&post).await;
    let join_and_release = async {
        until_waiting(&post, 1).await;
        // The second joins, and gets nothing, or what the first has not been given.
        let early = timeout(Duration::from_secs(4), second.process_batch()).await;
        hold.commit().await.expect("the database is up");
        early.map_or(Processed::default(), |early| early.expect("it waits"))
    };
    let (mut total, early) = join!(process(&mut first, EVENTS), join_and_release);
    total += early;
    let (mut shares, mut published) = ([0, 0], EVENTS);
    eventually("both to have their share", async || {
        post.append(&[event(order_id(), 1), event(order_id(), 1)])
            .await;
        published += publish(&mut relay, 2).await.acknowledged;
        let steps = join!(brief_step(&mut first), brief_step(&mut second));
        total += steps.0;
        total += steps.1;
        shares[0] += steps.0.received;
        shares[1] += steps.1.received;
        (shares[0] > 0 && shares[1] > 0).then_some(()).ok_or(shares)
    })
    .await;
    eventually("all to be handled", async || {
        let steps = join!(brief_step(&mut first), brief_step(&mut second));
        total += steps.0;
        total += steps.1;
        if total.done >= published {
            Ok(())
        } else {
            Err(total)
        }
    })
    .await;
    assert_eq!((total.done, total.duplicates), (published, 0));
    assert_eq!(post.effects().await, published as i64);
    post.close().await;
}

#[tokio::test]
async fn what_is_none_of_ours_opens_no_transaction() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    let events: Vec<Event> = (0..3).map(|_| event(order_id(), NOT_OURS)).collect();
    post.append(&events).await;
    publish(&mut relay, 3).await;
    // From here on a transaction cannot even begin.
    post.pool.close().await;
    let handled = process(&mut inbox, 3).await;
    let passed_by = Processed {
        received: 3,
        absorbed: 3,
        ..Processed::default()
    };
    assert_eq!(handled, passed_by);
    post.close().await;
}

#[tokio::test]
async fn topics_that_are_replayed_from_their_start_change_nothing() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    let ready = shop.until_ready(&order).await;
    shop.until_idle().await;
    delivery::until_all_is_consumed(&shop).await;
    let handled = delivery::inboxes(&shop).await;
    forget_offsets(&shop).await;
    // The last message of each partition is parked again: all before it were delivered again.
    delivery::until_garbage_is_parked(&shop).await;
    assert_eq!(delivery::inboxes(&shop).await, handled, "no id was new");
    assert_eq!(
        shop.get(&order.order_id).await.expect("it is stored"),
        ready
    );
    shop.close().await;
}

/// Stops both services, deletes what their groups know and what was parked, and starts them.
async fn forget_offsets(shop: &Shop) {
    shop.barista.stop().await.expect("it ends well");
    shop.reception.stop().await.expect("it ends well");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shop.servers.kafka_brokers());
    let admin: AdminClient<DefaultClientContext> = config.create().expect("the settings are valid");
    let groups = ["barista", "reception"].map(|service| format!("{service}.{}", shop.name));
    let names = groups.each_ref().map(String::as_str);
    let deleted = admin.delete_groups(&names, &AdminOptions::new()).await;
    for group in deleted.expect("Kafka answers") {
        group.expect("nobody is a member any more");
    }
    for pool in [shop.barista_pool(), shop.reception_pool()] {
        let deleted = sqlx::query("delete from dead_letters").execute(&pool).await;
        deleted.expect("the database is up");
    }
    shop.barista.start().await.expect("it starts");
    shop.reception.start().await.expect("it starts");
}

/// All had their effect, the first of each.
fn once_of(received: usize) -> Processed {
    Processed {
        received,
        done: 1,
        duplicates: received - 1,
        ..Processed::default()
    }
}

/// None was new.
fn known(received: usize) -> Processed {
    Processed {
        received,
        duplicates: received,
        ..Processed::default()
    }
}

/// Has an inbox die with a batch in hand. Nothing of it is left but its connections.
async fn die(post: &Post, crash: Crash) {
    let crash = Some(crash);
    let mut inbox = post.inbox_that("test", Effects { crash });
    let died = AssertUnwindSafe(step(&mut inbox)).catch_unwind().await;
    assert!(died.is_err());
}

/// From here on handlers wait in the middle of their transaction.
async fn hold_handlers(post: &Post) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut hold = post.pool.begin().await.expect("the database is up");
    let locked = sqlx::query("lock table now in access exclusive mode")
        .execute(&mut *hold)
        .await;
    locked.expect("nobody has it");
    hold
}

/// Waits until so many transactions of the post wait for another one.
async fn until_waiting(post: &Post, transactions: i64) {
    let waiting = "select count(*) from pg_stat_activity \
         where datname = current_database() and wait_event_type = 'Lock'";
    eventually(
        "transactions to wait for each other",
        async || match crate::count(&post.pool, waiting).await {
            found if found == transactions => Ok(()),
            found => Err(found),
        },
    )
    .await;
}

/// A step, if there is anything to do.
async fn brief_step(inbox: &mut Inbox<Effects>) -> Processed {
    match timeout(Duration::from_secs(1), inbox.process_batch()).await {
        Ok(processed) => processed.expect("Kafka and Postgres are up"),
        Err(_) => Processed::default(),
    }
}
