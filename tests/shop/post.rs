//! A database with the tables of messaging, a topic, and a handler whose effect is a row.

use crate::count;
use chrono::Utc;
use messaging::{
    event::Event,
    inbox::{Handler, Inbox, Message, Outcome, Processed, Skipped},
    kafka,
    outbox::{self, Waker},
    relay::{self, Published, Relay},
};
use rdkafka::{Timestamp, message::OwnedMessage};
use shop::harness::{Options, Shop, eventually};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
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
        let kafka = kafka::Options {
            kafka_brokers: shop.servers.kafka_brokers().to_owned(),
            topic_partitions: 2,
            topic_replication: 1,
            topic_retention: Duration::from_secs(3600),
        };
        let post = Self {
            shop,
            pool,
            topic,
            kafka,
        };
        post.execute(messaging::SCHEMA).await;
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
        let options = relay::Options {
            outbox_lease,
            outbox_batch: 500,
        };
        let (pool, topic) = (self.pool.clone(), self.topic.clone());
        let relay = Relay::new(
            pool,
            &self.kafka,
            "/coffeeshop/test",
            topic,
            Waker::new(),
            options,
        );
        relay.expect("the settings are valid")
    }

    pub fn inbox(&self) -> Inbox<Effects> {
        self.inbox_of("test")
    }

    pub fn inbox_of(&self, group: &str) -> Inbox<Effects> {
        let group = format!("{group}.{}", self.shop.name);
        let (pool, topic) = (self.pool.clone(), self.topic.clone());
        let inbox = Inbox::new(pool, &self.kafka, "test", &group, topic, Effects);
        inbox.expect("the settings are valid")
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

/// Has one row as the effect of each message.
pub struct Effects;

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
        Ok(outcomes)
    }

    fn committed(&self) {}
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
pub async fn process(inbox: &mut Inbox<Effects>, messages: usize) -> Processed {
    let mut total = Processed::default();
    while total.received - total.held_back < messages {
        total += step(inbox).await;
    }
    total
}

pub async fn step(inbox: &mut Inbox<Effects>) -> Processed {
    let step = timeout(shop::harness::patience(), inbox.process_batch()).await;
    step.expect("messages arrive")
        .expect("Kafka and Postgres are up")
}
