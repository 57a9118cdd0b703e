//! Several relays share one outbox, and nobody publishes what is another's for long.

use crate::{
    count, log,
    post::{Post, event, order_id, publish},
};
use messaging::{
    event::Event,
    relay::{Published, Relay},
};
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually, patience},
    services::Service,
};
use sqlx::raw_sql;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

#[tokio::test]
async fn a_relay_that_lost_its_lease_while_sending_does_not_move_the_cursor() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let mut relay = post.relay();
    let (mut wait, mut unsent) = (Duration::from_millis(50), 0);
    // Again, and later, if the lease was gone before the relay had read what to send.
    eventually("a relay to lose its lease while it sends", async || {
        post.append(&[event(order_id(), 1)]).await;
        wait *= 2;
        let sent = lose_the_lease_after(&post, &mut relay, wait).await;
        unsent += 1 + sent.fenced;
        unsent -= sent.acknowledged;
        if sent.fenced > 0 && sent.fenced == sent.acknowledged {
            Ok(())
        } else {
            Err(sent)
        }
    })
    .await;
    // The parts' new owner publishes them again.
    assert_eq!(
        publish(&mut relay, unsent).await,
        Published {
            acknowledged: unsent,
            ..Published::default()
        }
    );
    post.close().await;
}

/// Holds Kafka's acks back until the part has changed hands.
async fn lose_the_lease_after(post: &Post, relay: &mut Relay, wait: Duration) -> Published {
    post.shop.servers.kafka.pause().await.expect("it runs");
    let lose = async {
        sleep(wait).await;
        post.execute("update outbox_parts set epoch = epoch + 1")
            .await;
        post.shop
            .servers
            .kafka
            .resume()
            .await
            .expect("it is paused");
    };
    let (published, ()) = tokio::join!(relay.publish_batch(), lose);
    published.expect("Kafka is back")
}

#[tokio::test]
async fn two_relays_share_the_parts_and_publish_each_event_once() {
    const EVENTS: usize = 64;
    let post = Post::open(Options::default()).await;
    let lease = Duration::from_secs(2);
    let (mut one, mut other) = (post.relay_with(lease), post.relay_with(lease));
    // The first takes all parts, and gives up half of them once it has heard of the other.
    eventually("each to hold half of the parts", async || {
        step_both(&mut one, &mut other).await;
        match post.shares().await.as_slice() {
            [4, 4] => Ok(()),
            shares => Err(shares.to_vec()),
        }
    })
    .await;
    let events: Vec<Event> = (0..EVENTS).map(|_| event(order_id(), 1)).collect();
    post.append(&events).await;
    let mut acknowledged = [0, 0];
    eventually("all events to be published", async || {
        for (total, published) in acknowledged
            .iter_mut()
            .zip(step_both(&mut one, &mut other).await)
        {
            assert_eq!(published.fenced, 0, "nobody lost a part");
            *total += published.acknowledged;
        }
        match acknowledged.iter().sum::<usize>() {
            EVENTS.. => Ok(()),
            _ => Err(acknowledged),
        }
    })
    .await;
    assert_eq!(acknowledged.iter().sum::<usize>(), EVENTS, "none twice");
    assert!(!acknowledged.contains(&0), "both publish: {acknowledged:?}");
    assert_eq!(log::read(&post.shop, &post.topic).await.len(), EVENTS);
    post.close().await;
}

/// A batch of each relay, both at the same time.
async fn step_both(one: &mut Relay, other: &mut Relay) -> [Published; 2] {
    let (one, other) = tokio::join!(one.publish_batch(), other.publish_batch());
    [one, other].map(|published| published.expect("Kafka and Postgres are up"))
}

const PARTS: i64 = 8;

#[tokio::test]
async fn the_parts_of_a_reception_that_was_killed_are_published_by_another() {
    let shop = receptions("2s").await;
    let killed = until_one_holds_all(&shop, None).await;
    let other = crate::second(&shop.reception).await;
    until_shared(&shop).await;

    shop.servers.kafka_proxy().cut();
    place(&shop, 10).await;
    assert!(
        unsent(&shop, killed).await > 0,
        "it dies with its hands full"
    );
    shop.reception.kill9().await.expect("it was running");
    shop.servers.kafka_proxy().heal();
    until_one_holds_all(&shop, Some(killed)).await;
    shop.until_idle().await;
    other.stop().await.expect("it ends well");
    shop.close().await;
}

#[tokio::test]
async fn a_reception_that_sleeps_through_its_lease_repeats_events_and_moves_no_cursor() {
    let shop = receptions("2s").await;
    place(&shop, 1).await;
    shop.until_idle().await;
    watch_cursors(&shop).await;
    let sleeper = until_one_holds_all(&shop, None).await;

    // What it has in hand at the stop is in its producer's queue, and not on the way.
    shop.servers.kafka_proxy().cut();
    place(&shop, 10).await;
    until_sending(&shop, sleeper).await;
    shop.reception.pause().await.expect("it is a child");
    shop.servers.kafka_proxy().heal();

    let other = crate::second(&shop.reception).await;
    until_one_holds_all(&shop, Some(sleeper)).await;
    shop.until_idle().await;
    assert_eq!(repeated(&shop).await, 0, "the sleeper has sent nothing yet");

    shop.reception.resume().await.expect("it is paused");
    eventually(
        "the sleeper to send what it had in hand",
        async || match repeated(&shop).await {
            0 => Err("nothing twice"),
            _ => Ok(()),
        },
    )
    .await;
    until_shared(&shop).await;
    assert_eq!(moved_back(&shop).await, 0);
    everything_is_handled_once(&shop).await;
    other.stop().await.expect("it ends well");
    shop.close().await;
}

#[tokio::test]
async fn the_parts_of_a_reception_that_is_stopped_are_taken_at_the_next_look_of_another() {
    const LEASE: Duration = Duration::from_secs(30);
    let shop = receptions(&format!("{}s", LEASE.as_secs())).await;
    let leaver = until_one_holds_all(&shop, None).await;
    let other = crate::second(&shop.reception).await;
    shop.reception.stop().await.expect("its exit code is 0");
    let begun = Instant::now();
    until_one_holds_all(&shop, Some(leaver)).await;
    // The other looks every third of a lease; half of that again is for a machine that is busy. Left
    // lying, a lease would last for two thirds of its time at least: it was renewed every third.
    assert!(begun.elapsed() < LEASE / 2, "{:?}", begun.elapsed());
    other.stop().await.expect("it ends well");
    shop.close().await;
}

/// A shop whose line to Kafka can break, and whose receptions can be killed.
async fn receptions(lease: &str) -> Shop {
    let options = Options {
        processes: true,
        kafka_proxy: true,
        ..Options::default()
    };
    crate::open_with(options.with(Service::Reception, "OUTBOX_LEASE", lease)).await
}

async fn place(shop: &Shop, orders: usize) {
    let customer = shop.customer();
    for _ in 0..orders {
        let placed = customer.place_patiently(latte(), patience()).await;
        placed.unwrap_or_else(|status| panic!("an order was not acknowledged: {status:?}"));
    }
}

/// How many parts of reception's outbox each relay holds.
async fn held(shop: &Shop) -> BTreeMap<Uuid, i64> {
    let held = "select owner, count(*) from outbox_parts where lease_expire_time > now() \
                group by owner order by owner";
    let held = sqlx::query_as(held).fetch_all(&shop.reception_pool()).await;
    held.expect("the database is up").into_iter().collect()
}

async fn until_shared(shop: &Shop) {
    eventually("each relay to hold half of the parts", async || {
        let held = held(shop).await;
        match held.values().copied().collect::<Vec<_>>().as_slice() {
            [4, 4] => Ok(()),
            _ => Err(held),
        }
    })
    .await;
}

/// Waits until one relay, and not this one, holds everything. Returns who it is.
async fn until_one_holds_all(shop: &Shop, not: Option<Uuid>) -> Uuid {
    eventually("one relay to hold all parts", async || {
        let held = held(shop).await;
        match held.first_key_value() {
            Some((owner, &PARTS)) if Some(*owner) != not => Ok(*owner),
            _ => Err(held),
        }
    })
    .await
}

/// Events that wait in the parts of this relay.
async fn unsent(shop: &Shop, owner: Uuid) -> i64 {
    let unsent = "select count(*) from outbox o join outbox_parts p using (part) \
                  where p.owner = $1 and (o.xid, o.seq) > (p.cursor_xid, p.cursor_seq)";
    let unsent = sqlx::query_scalar(unsent)
        .bind(owner)
        .fetch_one(&shop.reception_pool())
        .await;
    unsent.expect("the database is up")
}

/// Waits until a relay has a batch in its hands that Kafka does not take. Then it renews its leases
/// and nothing else; at all other times it renews its heartbeat with them.
async fn until_sending(shop: &Shop, owner: Uuid) {
    eventually("the relay to have a batch in hand", async || {
        let sending = "select count(*) from outbox_parts p join outbox_relays r using (owner) \
                       where owner = $1 and p.lease_expire_time > r.expire_time";
        let sending: i64 = sqlx::query_scalar(sending)
            .bind(owner)
            .fetch_one(&shop.reception_pool())
            .await
            .expect("the database is up");
        match sending {
            0 => Err("leases and heartbeat are of the same age"),
            _ => Ok(()),
        }
    })
    .await;
}

/// Has the database note whoever moves a cursor back.
async fn watch_cursors(shop: &Shop) {
    let watch = "create table moved_back (part smallint); \
         create function note_move() returns trigger language plpgsql as $$ begin \
             insert into moved_back values (new.part); return new; end $$; \
         create trigger moved_back before update on outbox_parts for each row \
             when ((new.cursor_xid, new.cursor_seq) < (old.cursor_xid, old.cursor_seq)) \
             execute function note_move()";
    let watching = raw_sql(watch).execute(&shop.reception_pool()).await;
    watching.expect("the statements are right");
}

async fn moved_back(shop: &Shop) -> i64 {
    count(&shop.reception_pool(), "select count(*) from moved_back").await
}

/// The ids of all events on the topic of orders, as often as they are there.
async fn told(shop: &Shop) -> Vec<String> {
    let messages = log::read(shop, &shop.orders_topic()).await;
    let id = |message| log::headers(message).remove("ce_id");
    messages.iter().filter_map(id).collect()
}

/// Events that are on the topic again.
async fn repeated(shop: &Shop) -> usize {
    let told = told(shop).await;
    told.len() - told.iter().collect::<BTreeSet<_>>().len()
}

/// Orders until everything that is on the topic now lies before something that was handled, and
/// compares: each order that was paid is in the barista's inbox. It passes the rest by.
async fn everything_is_handled_once(shop: &Shop) {
    place(shop, 10).await;
    shop.until_idle().await;
    let paid: BTreeSet<Uuid> = log::paid(shop).await.iter().map(log::event_id).collect();
    eventually("each paid order to be in the inbox", async || {
        let handled = log::handled(shop).await;
        if handled == paid {
            Ok(())
        } else {
            Err((handled.len(), paid.len()))
        }
    })
    .await;
}
