//! How long to keep what, and whether that suits Kafka.
//!
//! The inbox must remember an event for as long as it can be delivered: the time it may wait in
//! the outbox of a publisher that cannot reach Kafka (it keeps the id with which it was written),
//! and the time that Kafka may keep it. Too short a memory makes nothing happen twice: what is
//! older is parked. But then people have to look at events that were only late.

use super::Housekeeping;
use crate::kafka::{self, SEGMENT};
use humantime::format_duration;
use rdkafka::error::KafkaError;
use std::time::Duration;
use tokio::time::sleep;

/// How long an event may wait in an outbox, unless told otherwise.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longer than any transaction that writes to the outbox, and than any reader needs a row for.
const SHORTEST: Duration = Duration::from_secs(60);
/// Every read of the relay looks into every day of the outbox.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// Between two comparisons: people can change a topic at any time.
const COMPARE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two questions to a Kafka that does not answer.
const RETRY: Duration = Duration::from_secs(10);

/// How long rows are kept.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How long events stay in the outbox, for people to look at, and up to a day longer. One
    /// that is not sent stays until it is.
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "1day", value_parser = outbox_retention)]
    pub outbox_retention: Duration,
    /// How long the inbox remembers an event, from when it was made, and up to a day longer. An
    /// older one is parked as a dead letter, not handled. Must cover what an event may wait for
    /// in the outbox of a publisher without Kafka, TOPIC_RETENTION, and the day by which Kafka
    /// may be late to delete. Default: TOPIC_RETENTION and 8 days, a week's wait.
    #[arg(long, env = "INBOX_RETENTION", value_parser = humantime::parse_duration)]
    pub inbox_retention: Option<Duration>,
}

fn outbox_retention(text: &str) -> anyhow::Result<Duration> {
    let retention = humantime::parse_duration(text)?;
    anyhow::ensure!(
        retention >= SHORTEST,
        "under {} a transaction could still write into a partition that leaves",
        format_duration(SHORTEST)
    );
    anyhow::ensure!(
        retention <= LONGEST,
        "over {} every read of the relay would look into too many partitions",
        format_duration(LONGEST)
    );
    Ok(retention)
}

impl Options {
    /// How long the inbox remembers.
    ///
    /// # Errors
    /// That is shorter than Kafka delivers.
    pub(super) fn inbox_retention(&self, kafka: &kafka::Options) -> anyhow::Result<Duration> {
        let kept = kafka.topic_retention.saturating_add(SEGMENT);
        let retention = self
            .inbox_retention
            .unwrap_or(kept.saturating_add(LONGEST_WAIT));
        match too_short(retention, Some(kept)) {
            Some(complaint) => anyhow::bail!("INBOX_RETENTION and TOPIC_RETENTION: {complaint}"),
            None => Ok(retention),
        }
    }
}

/// The consequence, if the inbox forgets earlier than Kafka, which keeps a message for so long,
/// or for ever.
fn too_short(retention: Duration, kept: Option<Duration>) -> Option<String> {
    if kept.is_some_and(|kept| retention >= kept) {
        return None;
    }
    let (remembers, keeps) = (
        format_duration(retention),
        kept.map_or("ever".to_owned(), |kept| format_duration(kept).to_string()),
    );
    Some(format!(
        "the inbox remembers an event for {remembers}, and Kafka may keep it for {keeps}: \
         one that is delivered later than the inbox remembers is parked as a dead letter, not handled"
    ))
}

impl Housekeeping {
    /// Asks Kafka how long it keeps what the inbox consumes. Returns the consequence, if the
    /// inbox forgets earlier.
    ///
    /// # Errors
    /// Kafka did not answer, or the topic does not exist yet.
    pub async fn compare_retention(&self) -> Result<Option<String>, KafkaError> {
        let kept = self.kafka.longest_stay(&self.topic).await?;
        Ok(too_short(self.inbox, kept))
    }

    /// Compares for as long as the process runs: Kafka may be away when it starts.
    pub(super) async fn keep_comparing(&self) {
        let mut said = None;
        loop {
            let pause = match self.compare_retention().await {
                Ok(complaint) => {
                    if let Some(complaint) = complaint.as_ref().filter(|_| complaint != said) {
                        tracing::error!(topic = self.topic, "INBOX_RETENTION: {complaint}");
                    }
                    said = complaint;
                    COMPARE_EVERY
                }
                Err(error) => {
                    tracing::debug!(%error, topic = self.topic, "retention not compared yet");
                    RETRY
                }
            };
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests;
