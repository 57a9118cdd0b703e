//! A database and a topic for one run, and who uses them. Set up as the services do it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use messaging::{
    inbox::{self, Inbox},
    kafka,
    outbox::Waker,
    relay::{self, Relay},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use sqlx::PgPool;

use super::{counting::Counting, writing::Writer};
use crate::{
    postgres::{create_database, drop_database, random_password},
    state::State,
};

/// As many as a service has by default.
const CONNECTIONS: u32 = 8;

async fn make_tables(pool: &PgPool) -> sqlx::Result<()> {
    for schema in messaging::SCHEMAS {
        sqlx::raw_sql(*schema).execute(pool).await?;
    }
    Ok(())
}

/// The database, its role, the topic and the group have one name.
pub(super) struct Scratch {
    name: String,
    admin_url: String,
    url: String,
    kafka: kafka::Options,
    /// For looking on.
    pool: PgPool,
}

impl Scratch {
    pub(super) async fn open(state: &State) -> Result<Self> {
        let name = format!("messages_{}", &random_password()[..10]);
        let admin_url = state.postgres_url.clone();
        let url = create_database(&admin_url, &name, &name).await?;
        let scratch = Self {
            pool: pool(&url)?,
            kafka: kafka::Options {
                kafka_brokers: state.kafka_brokers.clone(),
                topic_partitions: 8,
                topic_replication: 1,
                topic_retention: Duration::from_secs(3600),
            },
            name,
            admin_url,
            url,
        };
        let tables = make_tables(&scratch.pool).await;
        if let Err(error) = tables {
            scratch.remove().await?;
            return Err(error).context("cannot make the tables");
        }
        Ok(scratch)
    }

    /// What a process that writes events has.
    pub(super) fn writer(&self) -> Result<(Writer, Relay)> {
        let (pool, waker) = (pool(&self.url)?, Waker::new());
        let options = relay::Options {
            outbox_lease: Duration::from_secs(5),
            outbox_batch: 500,
        };
        let relay = Relay::new(
            pool.clone(),
            &self.kafka,
            "/coffeeshop/messages",
            self.name.clone(),
            waker.clone(),
            options,
        )?;
        Ok((Writer { pool, waker }, relay))
    }

    /// What a process that reads them has.
    pub(super) fn inbox(&self, handler: Counting) -> Result<Inbox<Counting>> {
        let options = inbox::Options {
            consumer_watchdog: Duration::from_secs(60),
        };
        let (group, topic) = (&self.name, self.name.clone());
        let pool = pool(&self.url)?;
        Inbox::new(
            pool,
            &self.kafka,
            "messages",
            group,
            topic,
            handler,
            &options,
        )
    }

    /// How many parts of the outbox each relay has.
    pub(super) async fn shares(&self) -> Result<Vec<i64>> {
        let shares = sqlx::query_scalar(
            "select count(*) from outbox_parts where lease_expire_time > now() group by owner",
        );
        Ok(shares.fetch_all(&self.pool).await?)
    }

    /// Compares what was appended with what the inbox remembers, and with what the handler saw.
    pub(super) async fn handled_once(&self, appended: u64, handled: u64) -> Result<()> {
        let (stored, lost, remembered): (i64, i64, i64) = sqlx::query_as(
            "select count(*), count(*) filter (where i.event_id is null), \
                    (select count(*) from inbox) \
             from outbox o left join inbox i using (event_id)",
        )
        .fetch_one(&self.pool)
        .await?;
        let appended_rows = i64::try_from(appended)?;
        ensure!(
            handled == appended && lost == 0 && [stored, remembered] == [appended_rows; 2],
            "not each message was handled once: {appended} appended, {stored} in the outbox, \
             {handled} handled, {remembered} in the inbox, {lost} lost"
        );
        Ok(())
    }

    /// Leaves nothing behind.
    pub(super) async fn remove(&self) -> Result<()> {
        let (database, topic) = tokio::join!(
            drop_database(&self.admin_url, &self.name, &self.name),
            self.delete_topic(),
        );
        database.with_context(|| format!("the database {} is left", self.name))?;
        topic.with_context(|| format!("the topic {} is left", self.name))
    }

    async fn delete_topic(&self) -> Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka.kafka_brokers);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let patience = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let deleted = admin.delete_topics(&[&self.name], &patience).await;
        // Dropping it waits for its thread.
        tokio::task::spawn_blocking(move || drop(admin));
        for topic in deleted? {
            match topic {
                // Interrupted before the first message, it was never made.
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(code.into()),
            }
        }
        Ok(())
    }
}

fn pool(url: &str) -> Result<PgPool> {
    let options = lifecycle::postgres::Options::new(url, CONNECTIONS);
    lifecycle::postgres::pool(&options, "shop messages")
}
