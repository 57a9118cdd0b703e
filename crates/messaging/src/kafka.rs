//! Every setting of every Kafka client, each with its reason.

/// What librdkafka says of itself.
mod statistics;

use anyhow::Context as _;
use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::FutureProducer,
    statistics::Statistics,
};
use statistics::Told;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A producer whose troubles are logged once.
pub type Producer = FutureProducer<Context>;
/// A consumer whose troubles are logged once.
pub type Consumer = StreamConsumer<Context>;

/// How much of a topic Kafka deletes at a time. A message stays until the last of its segment
/// is old enough: by default, which is a week, twice as long as its retention says.
pub(crate) const SEGMENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Where Kafka is, and how our topics are made.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Bootstrap servers, host:port, separated by commas. Kafka 4.0 or newer.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "localhost:9092")]
    pub kafka_brokers: String,
    /// Partitions of a topic when it is created. Bounds how many processes of one
    /// service can share the work.
    #[arg(long, env = "TOPIC_PARTITIONS", default_value_t = 8,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub topic_partitions: i32,
    /// Replicas of a topic when it is created: 1 on a laptop; 3 in production, where
    /// two must have a message before it counts as sent.
    #[arg(long, env = "TOPIC_REPLICATION", default_value_t = 1,
          value_parser = clap::value_parser!(i32).range(1..=9))]
    pub topic_replication: i32,
    /// How long Kafka keeps a message. A consumer that is away for longer misses it.
    #[arg(long, env = "TOPIC_RETENTION", default_value = "7days", value_parser = humantime::parse_duration)]
    pub topic_retention: Duration,
}

impl Options {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka_brokers);
        // The default of 10 s would be added to every recovery.
        config.set("reconnect.backoff.max.ms", "1000");
        // A silently dropped connection is otherwise found only by a request timeout.
        config.set("socket.keepalive.enable", "true");
        // How long a topic that is gone is believed to be there. The default of 30 s, meant for
        // topics that a large cluster has just created, would be added to every recovery from a
        // wiped Kafka; ours are created before they are used, and whatever fails is tried again.
        config.set("topic.metadata.propagation.max.ms", "5000");
        // A broker that closes an idle connection is no event worth a line.
        config.set("log.connection.close", "false");
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// The producer of a relay.
    pub(crate) fn producer(&self, outage: Outage) -> anyhow::Result<Producer> {
        let mut config = self.client();
        // acks=all, endless retries, order kept within a partition.
        config.set("enable.idempotence", "true");
        // When it runs out the outcome is unknown and the batch is sent again, as
        // duplicates. Longer than a broker's restart, so that this stays rare.
        config.set("delivery.timeout.ms", "120000");
        // The outbox has batched already; this only joins what one loop enqueues.
        config.set("linger.ms", "2");
        // The default, just under the broker's own. What is larger is refused here, at
        // once and alone, and not by the broker together with its batch.
        config.set("message.max.bytes", "1000000");
        // Two of the largest batches that a relay reads.
        config.set("queue.buffering.max.messages", "20000");
        // Built in; snapshots of like orders compress well.
        config.set("compression.type", "lz4");
        config.set("statistics.interval.ms", statistics::INTERVAL_MS);
        config
            .create_with_context(Context {
                outage: Some(outage),
                told: Some(Told::default()),
            })
            .context("creating the Kafka producer")
    }

    /// The consumer of an inbox.
    pub(crate) fn consumer(&self, group: &str, outage: Outage) -> anyhow::Result<Consumer> {
        let mut config = self.client();
        config.set("group.id", group);
        // The broker assigns (KIP-848): a rebalance stops nobody who keeps its
        // partitions. The session timeout is then the broker's to grant.
        config.set("group.protocol", "consumer");
        // Offsets are stored by us after the database's commit, and only what is
        // stored is committed. The default stores an offset before we see the message.
        config.set("enable.auto.offset.store", "false");
        config.set("enable.auto.commit", "true");
        config.set("auto.commit.interval.ms", "1000");
        // The default, latest, skips what was published before the first start.
        config.set("auto.offset.reset", "earliest");
        // A batch takes milliseconds; a database that is away, minutes. When this runs
        // out the partitions move on and the batch becomes duplicates.
        config.set("max.poll.interval.ms", "300000");
        // The default lets 64 MiB a partition wait in memory.
        config.set("queued.max.messages.kbytes", "8192");
        config.set("fetch.wait.max.ms", "100");
        config.set("statistics.interval.ms", statistics::INTERVAL_MS);
        config
            .create_with_context(Context {
                outage: Some(outage),
                told: Some(Told::consumer(group)),
            })
            .context("creating the Kafka consumer")
    }

    /// Looks at a group from outside; joins nothing, commits nothing.
    pub(crate) fn onlooker(&self, group: &str) -> KafkaResult<BaseConsumer<Context>> {
        let mut config = self.client();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.create_with_context(Context::default())
    }

    /// Creates a topic unless it is there. Topics are never created by a first use:
    /// that would be with the broker's defaults.
    pub(crate) async fn ensure_topic(&self, topic: &str) -> Result<(), KafkaError> {
        let admin: AdminClient<Context> = self.client().create_with_context(Context::default())?;
        let retention = self.topic_retention.as_millis().to_string();
        let segment = SEGMENT.as_millis().to_string();
        let in_sync = if self.topic_replication >= 3 {
            "2"
        } else {
            "1"
        };
        let new = NewTopic::new(
            topic,
            self.topic_partitions,
            TopicReplication::Fixed(self.topic_replication),
        )
        .set("retention.ms", &retention)
        .set("segment.ms", &segment)
        .set("min.insync.replicas", in_sync);
        let patience = AdminOptions::new()
            .operation_timeout(Some(Duration::from_secs(5)))
            .request_timeout(Some(Duration::from_secs(5)));
        let results = admin.create_topics([&new], &patience).await;
        // Dropping a client waits for its thread, for up to 100 ms: not on a worker.
        tokio::task::spawn_blocking(move || drop(admin));
        for result in results? {
            match result {
                Ok(_) => tracing::info!(topic, "topic created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        Ok(())
    }

    /// How long Kafka may keep a message of a topic, as it says itself; absent if for ever.
    pub(crate) async fn longest_stay(&self, topic: &str) -> Result<Option<Duration>, KafkaError> {
        let admin: AdminClient<Context> = self.client().create_with_context(Context::default())?;
        let patience = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
        let topic = [ResourceSpecifier::Topic(topic)];
        let described = admin.describe_configs(&topic, &patience).await;
        // See `ensure_topic`.
        tokio::task::spawn_blocking(move || drop(admin));
        let described = described?.pop().ok_or(KafkaError::Canceled)?;
        let settings = described.map_err(KafkaError::AdminOp)?;
        let setting = |name| settings.get(name).and_then(|entry| entry.value.as_deref());
        // Negative: for ever.
        let duration = |name| setting(name)?.parse().ok().map(Duration::from_millis);
        Ok(match setting("cleanup.policy") {
            Some("compact") => None,
            _ => duration("retention.ms")
                .zip(duration("segment.ms"))
                .map(|(retention, segment)| retention.saturating_add(segment)),
        })
    }
}

/// Whether an error says that a topic is not there, because somebody has deleted it or wiped
/// all of Kafka. The broker has one word for it, librdkafka two of its own, which come first.
pub(crate) fn is_topic_gone(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition)
    )
}

/// Whether the broker is away, as far as one client has noticed.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<AtomicBool>);

impl Outage {
    fn begins(&self, error: &KafkaError, reason: &str) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, reason, "Kafka is away or refuses; trying on");
        }
    }

    /// Says that the broker has answered.
    pub(crate) fn ends(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka is back");
        }
    }
}

/// Turns librdkafka's chatter into two lines an outage: it is away, it is back.
///
/// librdkafka reports every failed connection attempt, one a second for as long as
/// the broker is away.
#[derive(Default)]
pub struct Context {
    /// Absent for short-lived clients: their callers report.
    outage: Option<Outage>,
    /// Absent for the same.
    told: Option<Told>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(outage) = &self.outage {
            outage.begins(&error, reason);
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(told) = &self.told {
            told.hears(&statistics);
        }
    }
}

impl ConsumerContext for Context {}
