//! A database with the tables of messaging, a topic, and a handler whose effect is a row.

use crate::count;
use chrono::Utc;
use messaging::{
    event::Event,
    housekeeping::{self, Housekeeping},
    inbox::{self, Handler, Inbox, Message, Outcome, Processed, Skipped},
    kafka,
    outbox::{self, Waker},
    relay::{self, Published, Relay},
};
use rdkafka::{Timestamp, message::OwnedMessage};
use shop::harness::{Options, Shop, eventually};
use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};
use std::{
    ops::{Deref, DerefMut},
    thread,
    time::Duration,
};
use telemetry::propagation::TraceContext;
use tokio::time::timeout;
use uuid::Uuid;

/// A database with the tables of messaging, and a topic. No service runs.
pub struct Post {
    pub shop: Shop,
    pub pool: PgPool,
    pub topic: String,
    kafka: kafka::Options,
}

/// A revision whose effect the database refuses.
pub const REFUSED: i64 = 13;
/// A revision that is put back until the handler is patient.
pub const RETRIED: i64 = 1;
/// A revision that is none of the handler's business.
pub const NOT_OURS: i64 = 99;

impl Post {
    pub async fn open(options: Options) -> Self {
        let shop = Shop::prepare(options)
            .await
            .expect("databases and topics can be made");
        let (pool, topic) = (shop.reception_pool(), shop.orders_topic());
        let kafka = kafka_of(&shop);
        let post = Self {
            shop,
            pool,
            topic,
            kafka,
        };
        for schema in messaging::SCHEMAS {
            post.execute(schema).await;
        }
        post.execute(
            "create table effects (order_id uuid, revision bigint check (revision <> 13), \
                 at timestamptz default clock_timestamp()); \
             create table now (patient boolean); insert into now values (true)",
        )
        .await;
        post
    }

    /// A relay that keeps what it has for as long as a test takes.
    pub fn relay(&self) -> Relay {
        self.relay_with(Duration::from_secs(30))
    }

    /// A relay looks for its fair share every third of its lease.
    pub fn relay_with(&self, outbox_lease: Duration) -> Relay {
        relay_of(&self.shop, &self.pool, &self.topic, outbox_lease)
    }

    pub fn inbox(&self) -> Member {
        self.inbox_of("test")
    }

    pub fn inbox_of(&self, group: &str) -> Member {
        self.inbox_that(group, Effects::default())
    }

    pub fn inbox_that(&self, group: &str, effects: Effects) -> Member {
        let options = watched(Duration::from_secs(60));
        self.inbox_with(self.pool.clone(), group, effects, &options)
    }

    /// An inbox whose watchdog bites after so long.
    pub fn inbox_watched(&self, limit: Duration) -> Member {
        let effects = Effects::default();
        self.inbox_with(self.pool.clone(), "test", effects, &watched(limit))
    }

    /// An inbox whose connections have a limit, as those of services do.
    pub fn inbox_limited(&self, setting: &str, limit: Duration) -> Member {
        let limit = limit.as_millis().to_string();
        let connect =
            PgConnectOptions::clone(&self.pool.connect_options()).options([(setting, limit)]);
        let (pool, options) = (
            PgPool::connect_lazy_with(connect),
            watched(Duration::from_secs(60)),
        );
        self.inbox_with(pool, "test", Effects::default(), &options)
    }

    fn inbox_with(
        &self,
        pool: PgPool,
        group: &str,
        effects: Effects,
        options: &inbox::Options,
    ) -> Member {
        let (group, topic) = (format!("{group}.{}", self.shop.name), self.topic.clone());
        let inbox = Inbox::new(pool, &self.kafka, "test", &group, topic, effects, options);
        Member(Some(inbox.expect("the settings are valid")))
    }

    /// Housekeeping that keeps what it keeps by default.
    pub fn housekeeping(&self) -> Housekeeping {
        self.housekeeping_with(None)
    }

    pub fn housekeeping_with(&self, inbox_retention: Option<Duration>) -> Housekeeping {
        let options = housekeeping::Options {
            outbox_retention: Duration::from_secs(24 * 60 * 60),
            inbox_retention,
        };
        let (pool, topic) = (self.pool.clone(), self.topic.clone());
        let housekeeping = Housekeeping::new(pool, &self.kafka, topic, &options);
        housekeeping.expect("the settings are valid")
    }

    pub async fn append(&self, events: &[Event]) {
        let mut tx = self.pool.begin().await.expect("the database is up");
        outbox::append(&mut tx, events)
            .await
            .expect("the database is up");
        tx.commit().await.expect("the database is up");
    }

    /// How many parts of the outbox each relay holds.
    pub async fn shares(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "select count(*) from outbox_parts where lease_expire_time > now() group by owner",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the database is up")
    }

    pub async fn effects(&self) -> i64 {
        count(&self.pool, "select count(*) from effects").await
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&self.pool)
            .await
            .expect("the statement is right");
    }

    pub async fn close(self) {
        self.shop.discard().await;
    }
}

/// An inbox of the post. Where Kafka is away, dropping a consumer never ends: each is left to a thread
/// of its own, so that a test that fails does so at once.
pub struct Member(Option<Inbox<Effects>>);

impl Deref for Member {
    type Target = Inbox<Effects>;

    fn deref(&self) -> &Inbox<Effects> {
        self.0.as_ref().expect("only the drop takes it")
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Inbox<Effects> {
        self.0.as_mut().expect("only the drop takes it")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let inbox = self.0.take();
        thread::spawn(move || drop(inbox));
    }
}

/// Has one row as the effect of each message.
#[derive(Default)]
pub struct Effects {
    /// Where the process dies, if it does.
    pub crash: Option<Crash>,
}

/// A point at which a process dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    BeforeCommit,
    AfterCommit,
}

impl Effects {
    fn die_if(&self, point: Crash) {
        assert!(self.crash != Some(point), "the process dies here");
    }
}

impl Handler for Effects {
    type Event = (Uuid, i64);

    fn decode(&self, message: &Message) -> Result<(Uuid, i64), Skipped> {
        match message.payload[..].try_into().map(i64::from_be_bytes) {
            Ok(NOT_OURS) => Err(Skipped::NotOurs),
            Ok(revision) => Ok((message.order_id, revision)),
            Err(_) => Err(Skipped::DeadLetter("not a revision".to_owned())),
        }
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        events: &[&(Uuid, i64)],
    ) -> sqlx::Result<Vec<Outcome>> {
        let patient: bool = sqlx::query_scalar("select patient from now")
            .fetch_one(&mut *conn)
            .await?;
        let mut outcomes = Vec::new();
        for (order_id, revision) in events {
            if !patient && *revision == RETRIED {
                outcomes.push(Outcome::Retry("not now".to_owned()));
                continue;
            }
            sqlx::query("insert into effects (order_id, revision) values ($1, $2)")
                .bind(order_id)
                .bind(revision)
                .execute(&mut *conn)
                .await?;
            outcomes.push(Outcome::Done);
        }
        self.die_if(Crash::BeforeCommit);
        Ok(outcomes)
    }

    fn committed(&self) {
        self.die_if(Crash::AfterCommit);
    }
}

/// How services of this shop reach Kafka.
pub fn kafka_of(shop: &Shop) -> kafka::Options {
    kafka::Options {
        kafka_brokers: shop.servers.kafka_brokers().to_owned(),
        topic_partitions: 2,
        topic_replication: 1,
        topic_retention: Duration::from_secs(3600),
    }
}

/// A relay from any database to any topic.
pub fn relay_of(shop: &Shop, pool: &PgPool, topic: &str, outbox_lease: Duration) -> Relay {
    let options = relay::Options {
        outbox_lease,
        outbox_batch: 500,
    };
    let (pool, topic, waker) = (pool.clone(), topic.to_owned(), Waker::new());
    let relay = Relay::new(
        pool,
        &kafka_of(shop),
        "/coffeeshop/test",
        topic,
        waker,
        options,
    );
    relay.expect("the settings are valid")
}

/// An inbox whose consumer may be silent for so long.
pub fn watched(consumer_watchdog: Duration) -> inbox::Options {
    inbox::Options { consumer_watchdog }
}

/// An event whose payload is its revision.
pub fn event(order_id: Uuid, revision: i64) -> Event {
    let (event_id, event_type) = (Uuid::now_v7(), "coffeeshop.test.v1.Tested");
    let (occur_time, trace) = (Utc::now(), TraceContext::default());
    let payload = revision.to_be_bytes().to_vec();
    Event {
        event_id,
        event_type,
        order_id,
        revision,
        occur_time,
        payload,
        trace,
    }
}

pub fn order_id() -> Uuid {
    Uuid::now_v7()
}

pub fn garbage(topic: &str, partition: i32) -> OwnedMessage {
    let payload = Some(b"\xff not an event".to_vec());
    OwnedMessage::new(
        payload,
        None,
        topic.to_owned(),
        Timestamp::NotAvailable,
        partition,
        0,
        None,
    )
}

/// Publishes until so many events are acknowledged. The horizon is the server's: the transactions of
/// tests beside this one can hold an event back for a moment.
pub async fn publish(relay: &mut Relay, events: usize) -> Published {
    let mut total = Published::default();
    eventually("events to be published", async || {
        let published = relay
            .publish_batch()
            .await
            .expect("Kafka and Postgres are up");
        total.acknowledged += published.acknowledged;
        total.fenced += published.fenced;
        if total.acknowledged >= events {
            Ok(())
        } else {
            Err(total)
        }
    })
    .await;
    total
}

/// Processes until so many messages are handled for good.
pub async fn process(inbox: &mut Inbox<impl Handler>, messages: usize) -> Processed {
    let enough = |total: &Processed| total.received - total.held_back >= messages;
    process_until(inbox, enough).await
}

/// Processes until enough was done. Returns all that was done.
pub async fn process_until(
    inbox: &mut Inbox<impl Handler>,
    enough: impl Fn(&Processed) -> bool,
) -> Processed {
    let mut total = Processed::default();
    eventually("messages to be handled", async || {
        total += step(inbox).await;
        if enough(&total) { Ok(()) } else { Err(total) }
    })
    .await;
    total
}

pub async fn step(inbox: &mut Inbox<impl Handler>) -> Processed {
    let step = timeout(shop::harness::patience(), inbox.process_batch()).await;
    step.expect("messages arrive")
        .expect("Kafka and Postgres are up")
}
