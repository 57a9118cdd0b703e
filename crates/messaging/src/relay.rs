//! Publishing what the outbox holds.
//!
//! Problem: publish every committed event, although this process may die at any
//! point and others publish from the same outbox.
//! Guarantee: the cursor of a part moves only over events that Kafka has
//! acknowledged, and only by the one who holds the part's lease. So a crash or a
//! lost lease repeats events; it never skips one.
//! Not guaranteed: order across transactions. Rows are read in `(xid, seq)` order,
//! and a transaction may get its xid long before it writes; revisions decide.
//!
//! ```text
//!  balance leases ▶ read below the horizon ▶ send all ▶ wait for all acks ▶ move cursors
//!                   (no transaction is open while publishing)               where epoch = mine
//! ```

/// The statements.
mod store;

use crate::{
    event,
    kafka::{self, Outage, Producer},
    lease::Leases,
    outbox::Waker,
};
use futures::future::join_all;
use lifecycle::{patiently, postgres::bounded};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureRecord},
};
use sqlx::PgPool;
use std::{pin::pin, time::Duration};
use store::{Cursor, Row};
use tokio_util::sync::CancellationToken;

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
    kafka: kafka::Options,
    producer: Producer,
    outage: Outage,
    source: &'static str,
    topic: String,
    waker: Waker,
    leases: Leases,
    batch: i64,
    topic_exists: bool,
}

/// What one call of [`Relay::publish_batch`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Events that Kafka acknowledged.
    pub acknowledged: usize,
    /// Of these, events whose part had changed hands meanwhile: its new owner
    /// publishes them again.
    pub fenced: usize,
}

/// Why a batch, or part of one, was not published. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer, or refused.
    #[error("reading or advancing the outbox")]
    Database(#[from] sqlx::Error),
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
        let outage = Outage::default();
        Ok(Self {
            leases: Leases::new(pool.clone(), options.outbox_lease),
            batch: options.outbox_batch,
            producer: kafka.producer(outage.clone())?,
            outage,
            kafka: kafka.clone(),
            topic_exists: false,
            pool,
            source,
            topic,
            waker,
        })
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
        self.ensure_topic().await?;
        let acks = self.send(&rows).await?;
        // Crash here: Kafka has the events, the cursor does not know. They are
        // published again, and the consumers' inboxes absorb them.
        let (cursors, refused) = settled(&rows, acks);
        let acknowledged = cursors.iter().map(|cursor| cursor.events).sum();
        let moved = bounded(store::advance(&self.pool, self.leases.owner, &cursors)).await?;
        if let Some((event_id, source)) = refused {
            self.topic_exists &=
                source.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition);
            return Err(Error::Refused { event_id, source });
        }
        self.outage.ends();
        let fenced = cursors
            .iter()
            .filter(|c| !moved.contains(&c.part))
            .map(|c| c.events)
            .sum();
        if fenced > 0 {
            tracing::warn!(
                fenced,
                "published events of parts that changed hands meanwhile"
            );
        }
        Ok(Published {
            acknowledged,
            fenced,
        })
    }

    async fn ensure_topic(&mut self) -> Result<(), Error> {
        if !self.topic_exists {
            self.kafka
                .ensure_topic(&self.topic)
                .await
                .map_err(Error::Topic)?;
            self.topic_exists = true;
        }
        Ok(())
    }

    /// Enqueues all rows, then waits for all answers. While it waits, which may be as
    /// long as Kafka is away, the leases are kept: letting them run out would make
    /// every relay of the service send the same events.
    async fn send(&self, rows: &[Row]) -> Result<Vec<Result<(), KafkaError>>, Error> {
        let mut acks = pin!(join_all(rows.iter().map(|row| ack(self.enqueue(row)))));
        let mut renewal = tokio::time::interval(self.leases.renew_interval());
        renewal.tick().await;
        loop {
            tokio::select! {
                acks = &mut acks => return Ok(acks),
                _ = renewal.tick() => bounded(self.leases.renew()).await?,
            }
        }
    }

    fn enqueue(&self, row: &Row) -> Result<DeliveryFuture, KafkaError> {
        let key = row.order_id.to_string();
        let headers = event::headers(
            self.source,
            row.event_id,
            &row.event_type,
            row.order_id,
            row.occur_time,
            &row.trace(),
        );
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(&row.payload)
            .headers(headers);
        // Not `send`: it waits for room in naps, and naps of several sends reorder.
        self.producer
            .send_result(record)
            .map_err(|(error, _)| error)
    }

    /// Publishes until it is told to stop, then what is left, and hands its leases over.
    /// Stop it after everything that writes events.
    ///
    /// # Errors
    /// None today: whatever goes wrong is tried again.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = POLL_MIN;
        while !stop.is_cancelled() {
            // A batch that is dropped is as a crash at that point: duplicates.
            let Some(result) = patiently(&stop, STOP_PATIENCE, self.publish_batch()).await else {
                break;
            };
            pause = match result {
                Ok(published) if published.acknowledged > 0 => continue,
                Ok(_) => self.idle(pause, &stop).await,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), topic = self.topic, "events wait in the outbox");
                    stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                    POLL_MIN
                }
            };
        }
        // Who writes events has stopped before us: what they wrote last goes out now.
        let rest = async { while self.publish_batch().await.is_ok_and(|p| p.acknowledged > 0) {} };
        if tokio::time::timeout(STOP_PATIENCE, rest).await.is_err() {
            tracing::warn!(
                topic = self.topic,
                "events are left in the outbox for the next start"
            );
        }
        self.farewell().await;
        Ok(())
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

async fn ack(enqueued: Result<DeliveryFuture, KafkaError>) -> Result<(), KafkaError> {
    match enqueued?.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    }
}

/// How far each part may move: up to the first event of it that was not taken.
/// Returns also the first event of all that was not.
fn settled(
    rows: &[Row],
    acks: Vec<Result<(), KafkaError>>,
) -> (Vec<Cursor>, Option<(uuid::Uuid, KafkaError)>) {
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut stuck = None;
    let mut refused = None;
    for (row, ack) in rows.iter().zip(acks) {
        match ack {
            _ if stuck == Some(row.part) => {}
            Ok(()) => match cursors.last_mut() {
                Some(cursor) if cursor.part == row.part => cursor.pass(row),
                _ => cursors.push(Cursor::at(row)),
            },
            Err(error) => {
                stuck = Some(row.part);
                refused = refused.or(Some((row.event_id, error)));
            }
        }
    }
    (cursors, refused)
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
