//! What is asked of databases and of Kafka itself, past all proxies.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use sqlx::{AssertSqlSafe, PgPool};

use super::Scene;
use crate::{harness::Hosted, services::Service};

/// How long Kafka may take to tell about itself.
const PATIENCE: Duration = Duration::from_secs(10);

impl Scene {
    /// One of the instances of a service.
    pub(super) fn instance(&self, service: Service, at: usize) -> Result<&Hosted> {
        let instance = self.all(service).nth(at);
        instance.with_context(|| format!("there is no instance {at} of {}", service.name()))
    }

    /// How many customers come a second.
    pub(crate) fn rate(&self) -> u32 {
        self.settings.rate
    }

    /// Counts what happened since the last fault began, which is `$1` of the question.
    pub(crate) async fn count_since_break(
        &self,
        service: Service,
        question: &'static str,
    ) -> Result<u64> {
        let since = TimeDelta::microseconds(i64::try_from(self.broken_us())?);
        let since = self.began_time() + since;
        let count = sqlx::query_scalar::<_, i64>(question).bind(since);
        Ok(u64::try_from(count.fetch_one(&self.pool(service)).await?)?)
    }

    /// Changes what only an operator could.
    pub(crate) async fn execute(&self, service: Service, statement: &'static str) -> Result<()> {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&self.pool(service)).await?;
        Ok(())
    }

    /// How many replicas of the topics lack what their leaders have.
    pub(crate) async fn replicas_behind(&self) -> Result<u64> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.shop.servers.kafka_direct());
        let topics = [self.shop.orders_topic(), self.shop.tickets_topic()];
        let behind = tokio::task::spawn_blocking(move || -> Result<usize> {
            let client: BaseConsumer = config.create()?;
            let mut behind = 0;
            for topic in topics {
                let metadata = client.fetch_metadata(Some(&topic), PATIENCE)?;
                let partitions = metadata
                    .topics()
                    .iter()
                    .flat_map(|topic| topic.partitions());
                let missing = partitions.map(|p| p.replicas().len() - p.isr().len());
                behind += missing.sum::<usize>();
            }
            Ok(behind)
        });
        Ok(u64::try_from(behind.await??)?)
    }

    pub(super) fn pool(&self, service: Service) -> PgPool {
        let ledgers = self.shop.ledgers();
        match service {
            Service::Reception => ledgers.reception,
            Service::Barista => ledgers.barista,
            Service::Payments => ledgers.payments,
        }
    }
}
