//! A replay takes effect once, or not at all.
//!
//! Straight at the dead letters of a handler whose effect is a row, and not conditional on anything:
//! if it were handled twice, there would be two.

use crate::post::{Effects, Post, REFUSED, RETRIED, event, garbage, order_id, process, publish};
use crate::{count, log};
use messaging::{
    dead_letters::{Consequence, DeadLetters, Error, GiveUp, Replayed},
    event::Event,
    inbox::Message,
};
use shop::harness::Options;
use sqlx::{PgConnection, types::Json};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_message_that_two_operators_replay_at_once_has_its_effect_once() {
    let post = Post::open(Options::default()).await;
    let letters = letters(&post);
    for _ in 0..20 {
        let id = park(&post, &event(order_id(), 1), Parked::Read).await;
        let (first, second) = tokio::join!(letters.replay(id), letters.replay(id));
        let found = [first, second].map(|replayed| replayed.ok());
        assert!(
            found.contains(&Some(Replayed::Handled)) && found.contains(&None),
            "{found:?}"
        );
    }
    assert_eq!(post.effects().await, 20);
    assert_eq!(left(&post).await, 0);
    post.close().await;
}

#[tokio::test]
async fn a_replay_that_dies_between_the_effect_and_the_end_of_the_letter_did_nothing() {
    let post = Post::open(Options::default()).await;
    let letters = letters(&post);
    let id = park(&post, &event(order_id(), 1), Parked::Read).await;
    post.execute(
        "create function die() returns trigger language plpgsql as $$ \
             begin perform pg_terminate_backend(pg_backend_pid()); return old; end $$; \
         create trigger die before delete on dead_letters for each row execute function die()",
    )
    .await;
    let died = letters.replay(id).await;
    assert!(matches!(died, Err(Error::Database(_))), "{died:?}");
    assert_eq!((post.effects().await, left(&post).await), (0, 1));

    post.execute("drop trigger die on dead_letters").await;
    assert_eq!(letters.replay(id).await.ok(), Some(Replayed::Handled));
    assert_eq!((post.effects().await, left(&post).await), (1, 0));
    post.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_stays_with_its_reason() {
    let post = Post::open(Options::default()).await;
    log::write(&post.shop, garbage(&post.topic, 0)).await;
    process(&mut post.inbox(), 1).await;
    let letters = letters(&post);
    let listed = letters
        .list(None, None, 10)
        .await
        .expect("the database is up");
    let [letter] = &listed[..] else {
        panic!("one letter was expected: {listed:?}");
    };
    let stays = Replayed::StillDead("header ce_specversion is missing".to_owned());
    let id = letter.dead_letter_id;
    assert_eq!(letters.replay(id).await.ok(), Some(stays));
    let whole = letters.get(id).await.expect("it stays");
    assert_eq!(whole.payload.as_deref(), Some(&b"\xff not an event"[..]));
    let dropped = letters.give_up(id, "it is garbage").await;
    assert!(
        matches!(dropped, Ok(Consequence::MayWait(_))),
        "{dropped:?}"
    );
    assert_eq!(left(&post).await, 0);
    post.close().await;
}

#[tokio::test]
async fn a_replay_that_fails_leaves_no_trace_but_its_reason() {
    let post = Post::open(Options::default()).await;
    let letters = letters(&post);
    // Parked unread, so that its id is not in the inbox: it must not get there without its
    // effect, or the next replay would take it for handled.
    let id = park(&post, &event(order_id(), REFUSED), Parked::Unread).await;
    let dead = letters.replay(id).await;
    assert!(
        matches!(&dead, Ok(Replayed::StillDead(why)) if why.contains("check constraint")),
        "{dead:?}"
    );
    let letter = letters.get(id).await.expect("it stays");
    assert!(
        letter.reason.contains("check constraint"),
        "{}",
        letter.reason
    );
    post.execute("update now set patient = false").await;
    let later = park(&post, &event(order_id(), RETRIED), Parked::Unread).await;
    let not_now = Replayed::NotNow("not now".to_owned());
    assert_eq!(letters.replay(later).await.ok(), Some(not_now));
    assert_eq!((post.effects().await, inbox(&post).await), (0, 0));

    post.execute(
        "update now set patient = true; alter table effects drop constraint effects_revision_check",
    )
    .await;
    for id in [id, later] {
        assert_eq!(letters.replay(id).await.ok(), Some(Replayed::Handled));
    }
    assert_eq!((post.effects().await, inbox(&post).await), (2, 2));
    post.close().await;
}

#[tokio::test]
async fn a_message_whose_twin_was_handled_meanwhile_is_absorbed_by_its_replay() {
    let post = Post::open(Options::default()).await;
    let twin = event(order_id(), 1);
    let id = park(&post, &twin, Parked::Unread).await;
    post.append(&[twin]).await;
    publish(&mut post.relay(), 1).await;
    process(&mut post.inbox(), 1).await;
    assert_eq!(
        letters(&post).replay(id).await.ok(),
        Some(Replayed::Absorbed)
    );
    assert_eq!((post.effects().await, left(&post).await), (1, 0));
    post.close().await;
}

#[tokio::test]
async fn an_event_that_could_not_be_published_is_replayed_under_its_own_id() {
    let post = Post::open(Options::default()).await;
    let (mut relay, mut inbox) = (post.relay(), post.inbox());
    let (arrived, refused) = (event(order_id(), 1), event(order_id(), 1));
    post.append(std::slice::from_ref(&arrived)).await;
    publish(&mut relay, 1).await;
    process(&mut inbox, 1).await;
    for event in [&arrived, &refused] {
        let id = park(&post, event, Parked::Unpublished).await;
        let requeued = letters(&post).replay(id).await;
        assert_eq!(requeued.ok(), Some(Replayed::Requeued));
    }
    publish(&mut relay, 2).await;
    let handled = process(&mut inbox, 2).await;
    assert_eq!((handled.done, handled.duplicates), (1, 1));
    assert_eq!((post.effects().await, left(&post).await), (2, 0));
    post.close().await;
}

impl GiveUp for Effects {
    async fn dropped(
        &self,
        _: &mut PgConnection,
        _: &Message,
        _: &str,
    ) -> sqlx::Result<Consequence> {
        Ok(Consequence::Unaffected("nobody waits".to_owned()))
    }

    async fn unpublished(
        &self,
        _: &mut PgConnection,
        _: &Message,
        _: &str,
    ) -> sqlx::Result<Consequence> {
        Ok(Consequence::Unaffected("nobody waits".to_owned()))
    }
}

fn letters(post: &Post) -> DeadLetters<Effects> {
    DeadLetters::new(post.pool.clone(), "test", Effects::default())
}

/// What was known of a message when it was parked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parked {
    /// Its headers were read, and its id is in the inbox.
    Read,
    /// Yesterday's version could not read its headers.
    Unread,
    /// Kafka refused it.
    Unpublished,
}

/// Parks an event as the inbox or the relay does, and returns the letter's id.
async fn park(post: &Post, event: &Event, parked: Parked) -> i64 {
    let (event_id, order_id) = (event.event_id.to_string(), event.order_id.to_string());
    let headers = BTreeMap::from([
        ("ce_specversion", "1.0"),
        ("ce_id", event_id.as_str()),
        ("ce_type", event.event_type),
        ("ce_subject", order_id.as_str()),
        ("content-type", "application/protobuf"),
    ]);
    let stored = (parked != Parked::Unpublished).then_some(event.revision);
    let read = (parked != Parked::Unread).then_some(event.event_id);
    let id = sqlx::query_scalar(
        "insert into dead_letters (consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
             event_id, revision, headers, key, payload, reason) \
         values ($1, 'orders.v1', $2, extract(epoch from clock_timestamp()) * 1000000 * $2, $2, \
             $3, $4, $5, convert_to($6, 'UTF8'), $7, 'it was poison') returning dead_letter_id",
    )
    .bind(if stored.is_some() { "test" } else { "relay" })
    .bind(stored.map(|_| 1_i32))
    .bind(read)
    .bind(event.revision)
    .bind(Json(headers))
    .bind(&order_id)
    .bind(&event.payload)
    .fetch_one(&post.pool)
    .await
    .expect("the database is up");
    if parked == Parked::Read {
        sqlx::query("insert into inbox (consumer, event_id) values ('test', $1)")
            .bind(event.event_id)
            .execute(&post.pool)
            .await
            .expect("it is not there yet");
    }
    id
}

async fn left(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from dead_letters").await
}

async fn inbox(post: &Post) -> i64 {
    count(&post.pool, "select count(*) from inbox").await
}
