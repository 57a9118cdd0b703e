//! Publishing what the outbox holds.
//!
//! Problem: publish every committed event, although this process may die at any
//! point and others publish from the same outbox.
//! Guarantee: the cursor of a part moves only over events that Kafka has
//! acknowledged, and only by the one who holds the part's lease. So a crash or a
//! lost lease repeats events; it never skips one. An event that Kafka will never take
//! is parked as a dead letter in the transaction that moves the cursor past it.
//! Not guaranteed: order across transactions. Rows are read in `(xid, seq)` order,
//! and a transaction may get its xid long before it writes; revisions decide.
//!
//! ```text
//!  balance leases ▶ read below the horizon ▶ send all ▶ wait for all acks ▶ move cursors
//!                   (no transaction is open while publishing)               where epoch = mine
//! ```

/// From rows to acks.
mod sender;
/// From acks to cursors.
mod settle;
/// The statements.
mod store;
/// How much waits, and for whom.
mod watch;

use crate::{
    kafka,
    lease::Leases,
    metrics::Relayed,
    outbox::Waker,
    spans::{Sending, Steps},
};
use lifecycle::{patiently, postgres::bounded};
use planted::Bug;
use rdkafka::{error::KafkaError, message::Headers as _};
use sender::{Sender, is_final};
use settle::{Settled, settled};
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};
pub(crate) use store::Row;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// How a relay goes about it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How long a relay keeps its parts of the outbox without renewing them. After a
    /// kill -9 its events wait for this long.
    #[arg(long, env = "OUTBOX_LEASE", default_value = "5s", value_parser = lease)]
    pub outbox_lease: Duration,
    /// The most events that are published of one part at a time.
    #[arg(long, env = "OUTBOX_BATCH", default_value_t = 500,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub outbox_batch: i64,
}

fn lease(text: &str) -> anyhow::Result<Duration> {
    let lease = humantime::parse_duration(text)?;
    anyhow::ensure!(
        lease >= SHORTEST_LEASE,
        "under {SHORTEST_LEASE:?} a lease would be over before a batch is sent, and nothing published"
    );
    Ok(lease)
}

/// Renewed three times in its duration, over a connection that may be slow.
const SHORTEST_LEASE: Duration = Duration::from_millis(300);
/// Between two looks at an outbox in which nothing happens.
const POLL_MAX: Duration = Duration::from_millis(250);
/// After a wake that found nothing: its rows may be above the horizon for a moment.
const POLL_MIN: Duration = Duration::from_millis(2);
/// Between two tries when the database or Kafka refuses.
const RETRY: Duration = Duration::from_millis(500);
/// What a stopping process grants its last batch and its farewell to the database.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Publishes one outbox to one topic.
pub struct Relay {
    pool: PgPool,
    sender: Sender,
    waker: Waker,
    leases: Leases,
    batch: i64,
    relayed: Relayed,
    steps: Steps,
}

/// What one call of [`Relay::publish_batch`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Events that Kafka acknowledged.
    pub acknowledged: usize,
    /// Of these, events whose part had changed hands meanwhile: its new owner
    /// publishes them again.
    pub fenced: usize,
    /// Events that Kafka will never take, parked as dead letters.
    pub parked: usize,
}

impl Published {
    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Why a batch, or part of one, was not published. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer, or refused.
    #[error("reading or advancing the outbox")]
    Database(#[from] sqlx::Error),
    /// A producer that gave up could not be replaced.
    #[error("creating a producer: {0:#}")]
    Producer(anyhow::Error),
    /// The topic could not be created.
    #[error("creating the topic")]
    Topic(#[source] KafkaError),
    /// Kafka did not take an event. The events of its part before it were sent.
    #[error("Kafka did not take event {event_id}")]
    Refused {
        /// The first event that was not taken.
        event_id: uuid::Uuid,
        /// Kafka's reason.
        #[source]
        source: KafkaError,
    },
}

impl Relay {
    /// A relay that holds no part yet. `source` is the `ce_source` of its events.
    ///
    /// # Errors
    /// The Kafka settings are impossible. That Kafka is away is no error.
    pub fn new(
        pool: PgPool,
        kafka: &kafka::Options,
        source: &'static str,
        topic: String,
        waker: Waker,
        options: Options,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            leases: Leases::new(pool.clone(), options.outbox_lease),
            batch: options.outbox_batch,
            relayed: Relayed::new(&topic),
            sender: Sender::new(kafka, source, topic)?,
            pool,
            waker,
            steps: |_| true,
        })
    }

    /// The same with spans for these events alone.
    #[must_use]
    pub fn with_steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// Publishes what waits in the parts that this relay holds, at most one batch of
    /// each. Takes and renews its leases when it is time to.
    ///
    /// # Errors
    /// See [`Error`]. Whatever was not published stays where it is.
    pub async fn publish_batch(&mut self) -> Result<Published, Error> {
        bounded(self.leases.balance_if_due()).await?;
        let rows = bounded(store::unsent(&self.pool, self.leases.owner, self.batch)).await?;
        if rows.is_empty() {
            return Ok(Published::default());
        }
        if planted::bug(Bug::CursorBeforeAcks) {
            let all = rows.iter().map(|_| Ok(())).collect();
            bounded(self.settle(&settled(&rows, all))).await?;
        }
        self.sender.prepare().await?;
        // It may wait as long as Kafka is away. Leases that run out meanwhile would make
        // every relay of the service send the same events.
        let topic = self.sender.topic.clone();
        let sending = Sending::begin(&topic, self.steps, &rows);
        let acks = self.leases.kept_while(self.sender.send(&rows)).await;
        sending.end(&rows, &acks, is_final);
        // Crash here: Kafka has the events, the cursor does not know. They are
        // published again, and the consumers' inboxes absorb them.
        let settled = settled(&rows, acks);
        let moved = bounded(self.settle(&settled)).await?;
        let published = self.report(&settled, &moved);
        match settled.stuck {
            Some((event_id, source)) => Err(Error::Refused { event_id, source }),
            None => Ok(published),
        }
    }

    async fn settle(&self, settled: &Settled<'_>) -> sqlx::Result<Vec<i16>> {
        let (owner, topic) = (self.leases.owner, &self.sender.topic);
        store::settle(&self.pool, owner, topic, settled, |row| self.readable(row)).await
    }

    /// The headers that a row would have been sent with, for people to read.
    fn readable(&self, row: &Row) -> BTreeMap<String, String> {
        let headers = self.sender.headers(row);
        let text = |value| String::from_utf8_lossy(value).into_owned();
        headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default()))
            .collect()
    }

    /// Says what somebody has to know, once it is durable.
    fn report(&self, settled: &Settled<'_>, moved: &[i16]) -> Published {
        let (topic, mut parked) = (&self.sender.topic, 0);
        for refused in settled
            .refused
            .iter()
            .filter(|r| moved.contains(&r.row.part))
        {
            let (event_id, order_id) = (refused.row.event_id, refused.row.order_id);
            let reason = &refused.reason;
            let _trace = telemetry::spans::belongs_to(&refused.row.trace());
            tracing::error!(topic, %event_id, coffeeshop.order.id = %order_id, %reason, "dead letter: Kafka will never take it");
            parked += 1;
        }
        let fenced = settled.fenced(moved);
        if fenced > 0 {
            tracing::warn!(
                fenced,
                "published events of parts that changed hands meanwhile"
            );
        }
        let acknowledged = settled.acknowledged();
        self.relayed.published(acknowledged, parked, fenced);
        Published {
            acknowledged,
            fenced,
            parked,
        }
    }

    /// Publishes until it is told to stop, then what is left, and hands its leases over.
    /// Stop it after everything that writes events.
    ///
    /// # Errors
    /// None today: whatever goes wrong is tried again.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let watch = Watch::new(self.pool.clone(), self.sender.topic.clone());
        tokio::select! {
            done = self.publish(stop) => done,
            never = watch.run() => match never {},
        }
    }

    async fn publish(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = POLL_MIN;
        while !stop.is_cancelled() {
            // A batch that is dropped is as a crash at that point: duplicates.
            let Some(result) = patiently(&stop, STOP_PATIENCE, self.publish_batch()).await else {
                break;
            };
            pause = match result {
                Ok(published) if !published.is_nothing() => continue,
                Ok(_) => self.idle(pause, &stop).await,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), topic = self.sender.topic, "events wait in the outbox");
                    stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                    POLL_MIN
                }
            };
        }
        // Who writes events has stopped before us: what they wrote last goes out now.
        match tokio::time::timeout(STOP_PATIENCE, self.publish_rest()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.leave_rest(&chain(&error)),
            Err(_) => self.leave_rest("no time left"),
        }
        self.farewell().await;
        Ok(())
    }

    async fn publish_rest(&mut self) -> Result<(), Error> {
        while !self.publish_batch().await?.is_nothing() {}
        Ok(())
    }

    fn leave_rest(&self, error: &str) {
        let topic = &self.sender.topic;
        tracing::warn!(
            error,
            topic,
            "events are left in the outbox for the next start"
        );
    }

    /// Waits for a wake, or the pause. Returns the next pause.
    async fn idle(&self, pause: Duration, stop: &CancellationToken) -> Duration {
        tokio::select! {
            () = self.waker.relay_woken() => POLL_MIN,
            () = tokio::time::sleep(pause) => (pause * 2).min(POLL_MAX),
            () = stop.cancelled() => POLL_MIN,
        }
    }

    async fn farewell(self) {
        match tokio::time::timeout(STOP_PATIENCE, self.leases.release()).await {
            Ok(Ok(())) => tracing::debug!("leases handed over"),
            _ => tracing::warn!("leases not handed over; they run out by themselves"),
        }
    }
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
