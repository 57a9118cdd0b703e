//! Handling what others said, once.
//!
//! Problem: Kafka delivers at least once, and this process may die at any point.
//! Guarantee: an event's id, its effect and the events it causes are written in one
//! transaction, and the Kafka offset is stored after the commit. A redelivery
//! meets the id and is absorbed.
//! Not guaranteed: order. The handler decides by revisions.
//!
//! ```text
//!  receive a batch ▶ decode ▶ begin ▶ insert ids ▶ handle the new ones ▶ park dead letters ▶ commit ▶ store offsets
//! ```
//!
//! A batch is one transaction. If one of its messages cannot be handled now, the
//! batch is rolled back and its messages are handled one by one, so that one bad
//! order hurts its neighbors as little as it can: poison is parked and passed, and a
//! message that has to wait holds back its own partition only. Its back-off blocks no
//! other; its tries do: each may cost the others two transactions that run into their
//! time limit (10 s; a lock that is not granted: a statement's, 2 s), and a transaction
//! of its own for each message that came with it.

/// The transaction.
mod apply;
/// What a message's content alone decides.
mod delivery;
/// What a service does with messages.
mod handler;
/// Partitions that wait for a retry.
mod hold;
/// What the inbox can remember, and what it cannot.
mod memory;
/// What became of a batch.
mod processed;
/// From Kafka's messages to ours.
mod receive;
/// A consumer that runs and delivers nothing.
mod watchdog;

pub(crate) use apply::{Refusal, refusal};
pub use handler::{Absorbed, Handler, Outcome, Skipped};
pub(crate) use memory::{Recorded, record};
pub use processed::{Error, Processed};
pub(crate) use receive::Received;
pub use receive::{Message, Origin};

use crate::{
    kafka::{self, Consumer, Outage},
    metrics,
    spans::trace_of,
};
use apply::Attempt;
use delivery::Delivery;
use hold::Holds;
use lifecycle::patiently;
use planted::Bug;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};
use sqlx::PgPool;
use std::{collections::HashMap, mem, slice, sync::Arc, time::Duration};
use telemetry::spans::belongs_to;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use watchdog::{Subject, Watchdog};

/// How an inbox goes about it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// A consumer that delivers nothing for this long, though messages wait for it, is
    /// replaced.
    #[arg(long, env = "CONSUMER_WATCHDOG", default_value = "60s", value_parser = watchdog_limit)]
    pub consumer_watchdog: Duration,
}

fn watchdog_limit(text: &str) -> anyhow::Result<Duration> {
    let limit = humantime::parse_duration(text)?;
    anyhow::ensure!(
        limit >= SHORTEST_WATCHDOG,
        "under {SHORTEST_WATCHDOG:?} a consumer that is merely slow would be replaced, again and again"
    );
    Ok(limit)
}

/// Twice what it may take until a fresh consumer that has its partitions has a first message.
const SHORTEST_WATCHDOG: Duration = Duration::from_secs(10);
/// The most messages in one transaction.
const BATCH: usize = 200;
/// Between two tries when the database or Kafka refuses.
const RETRY: Duration = Duration::from_millis(500);
/// What a stopping process grants the batch in hand.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// What closing the consumer may take; librdkafka can hang there.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Consumes one topic for one service.
pub struct Inbox<H: Handler> {
    pool: PgPool,
    kafka: kafka::Options,
    consumer: Arc<Consumer>,
    outage: Outage,
    name: &'static str,
    group: String,
    topic: String,
    handler: H,
    subscribed: bool,
    /// Received and not yet handled. Survives a failed try.
    batch: Vec<Delivery<H::Event>>,
    holds: Holds,
    watchdog: Watchdog,
    /// Consumers replaced since the last batch.
    replaced: usize,
}

impl<H: Handler> Inbox<H> {
    /// An inbox that has not subscribed yet. `name` is the consumer in the tables;
    /// `group` is the Kafka consumer group.
    ///
    /// # Errors
    /// The Kafka settings are impossible. That Kafka is away is no error.
    pub fn new(
        pool: PgPool,
        kafka: &kafka::Options,
        name: &'static str,
        group: &str,
        topic: String,
        handler: H,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let outage = Outage::default();
        Ok(Self {
            consumer: Arc::new(kafka.consumer(group, outage.clone())?),
            kafka: kafka.clone(),
            group: group.to_owned(),
            subscribed: false,
            batch: Vec::new(),
            holds: Holds::default(),
            watchdog: Watchdog::new(options.consumer_watchdog),
            replaced: 0,
            pool,
            outage,
            name,
            topic,
            handler,
        })
    }

    /// Waits for messages and handles what has arrived, at most 200, in one
    /// transaction.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn process_batch(&mut self) -> Result<Processed, Error> {
        self.receive().await?;
        self.process().await
    }

    /// Fills the batch, unless one is left from a failed try.
    async fn receive(&mut self) -> Result<(), Error> {
        let received = self.try_receive().await;
        if received.is_err() {
            self.watchdog.rest();
        }
        received
    }

    async fn try_receive(&mut self) -> Result<(), Error> {
        if !self.batch.is_empty() {
            return Ok(());
        }
        self.subscribe().await?;
        let subject = Subject {
            consumer: &self.consumer,
            kafka: &self.kafka,
            group: &self.group,
            topic: &self.topic,
            holds: &self.holds,
        };
        tokio::select! {
            // First what has arrived: see `Watchdog::stuck`.
            biased;
            batch = receive::batch(&self.consumer, BATCH) => {
                let read = |received| Delivery::read(&self.handler, &self.group, received);
                self.batch = batch?.into_iter().map(read).collect();
                for delivery in &self.batch {
                    self.watchdog.hears(delivery.received.origin.partition);
                }
                self.outage.ends();
            }
            () = self.holds.wait() => {}
            (partition, offset) = self.watchdog.stuck(subject) => {
                tracing::warn!(topic = self.topic, partition, offset, "nothing is delivered; replacing the consumer");
                self.replace_consumer();
            }
        }
        self.holds.release_due(&self.consumer, &self.topic);
        Ok(())
    }

    /// Leaves the consumer to itself and takes a fresh one, which joins the group anew. Until the
    /// group has given up the old one nothing is assigned; what that one had in hand is
    /// delivered again.
    fn replace_consumer(&mut self) {
        self.watchdog.rest();
        match self.kafka.consumer(&self.group, self.outage.clone()) {
            Ok(fresh) => {
                // Nobody waits for the end of one that is stuck.
                drop(drop_aside(mem::replace(
                    &mut self.consumer,
                    Arc::new(fresh),
                )));
                (self.subscribed, self.holds) = (false, Holds::default());
                self.replaced += 1;
            }
            Err(error) => tracing::error!(%error, "no consumer to replace it with"),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        if !self.subscribed {
            self.kafka.ensure_topic(&self.topic).await?;
            self.consumer.subscribe(&[&self.topic])?;
            self.watchdog.restart();
            self.subscribed = true;
        }
        Ok(())
    }

    async fn process(&mut self) -> Result<Processed, Error> {
        let processed = self.try_process().await;
        if processed.is_err() {
            self.watchdog.rest();
        }
        let mut processed = processed?;
        processed.replaced_consumers = mem::take(&mut self.replaced);
        Ok(processed)
    }

    async fn try_process(&mut self) -> Result<Processed, Error> {
        if planted::bug(Bug::OffsetBeforeCommit) {
            self.pass_batch();
        }
        let processed = match self.attempt(&self.batch).await? {
            Attempt::Committed(processed) => {
                self.handler.committed();
                // Crash here: the effect is durable, the offset is not stored. The
                // batch is delivered again and meets its ids in the inbox.
                self.pass_batch();
                processed
            }
            Attempt::NotNeeded(processed) => {
                self.pass_batch();
                processed
            }
            Attempt::Retry(_) | Attempt::Poison(_) => self.one_by_one().await?,
        };
        self.batch.clear();
        metrics::inbox(self.name, &processed);
        Ok(processed)
    }

    /// Stores the offsets behind the batch.
    fn pass_batch(&mut self) {
        let next = receive::next_offsets(self.batch.iter().map(|d| &d.received));
        self.store_offsets(&next);
        for partition in next.into_keys() {
            self.holds.forget(partition);
        }
    }

    async fn attempt(&self, batch: &[Delivery<H::Event>]) -> Result<Attempt, Error> {
        apply::transaction(&self.pool, self.name, &self.handler, batch).await
    }

    /// Handles the batch message by message, each in a transaction of its own, because
    /// one of them spoils it. An error in between leaves the whole batch for the next
    /// call: the ids of what was handled are in the inbox.
    async fn one_by_one(&mut self) -> Result<Processed, Error> {
        let mut total = Processed::default();
        let mut next = HashMap::new();
        let mut held: HashMap<i32, (&Delivery<H::Event>, String)> = HashMap::new();
        for delivery in &self.batch {
            let received = &delivery.received;
            let partition = received.origin.partition;
            if held.contains_key(&partition) {
                total.held_back += 1;
                continue;
            }
            match self.attempt(slice::from_ref(delivery)).await? {
                Attempt::Committed(one) | Attempt::NotNeeded(one) => total += one,
                Attempt::Poison(reason) => {
                    total += apply::park(&self.pool, self.name, delivery, &reason).await?;
                }
                Attempt::Retry(reason) => {
                    total.held_back += 1;
                    held.insert(partition, (delivery, reason));
                    continue;
                }
            }
            self.holds.forget(partition);
            next.insert(partition, received.origin.offset + 1);
        }
        // Not before all of the batch was tried: an error above leaves the whole of it for
        // the next call, which would then forget a partition that is paused.
        for (delivery, reason) in held.into_values() {
            let _trace = belongs_to(&trace_of(&delivery.received));
            let order_id = delivery.received.order_id();
            let origin = &delivery.received.origin;
            self.holds.hold(&self.consumer, origin, order_id, &reason);
        }
        self.handler.committed();
        self.store_offsets(&next);
        Ok(total)
    }

    fn store_offsets(&mut self, next: &HashMap<i32, i64>) {
        for (partition, offset) in next {
            self.watchdog.passes(*partition, *offset);
        }
        let mut list = TopicPartitionList::new();
        let stored = next
            .iter()
            .try_for_each(|(partition, offset)| {
                list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))
            })
            // Fails for a partition that a rebalance took from us meanwhile: its new
            // owner receives the batch again and absorbs it.
            .and_then(|()| self.consumer.store_offsets(&list));
        if let Err(error) = stored {
            tracing::debug!(%error, topic = self.topic, "offsets not stored");
        }
    }

    /// Processes batches until it is told to stop, then leaves the group.
    ///
    /// # Errors
    /// The handler breaks its contract.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let Some(received) = stop.run_until_cancelled(self.receive()).await else {
                break;
            };
            let processed = match received {
                // A batch that is dropped is as a crash at that point: it comes again.
                Ok(()) => patiently(&stop, STOP_PATIENCE, self.process()).await,
                Err(error) => Some(Err(error)),
            };
            match processed {
                None => break,
                Some(Ok(processed)) => tracing::trace!(?processed, topic = self.topic, "batch"),
                Some(Err(error @ Error::HandlerContract { .. })) => return Err(error.into()),
                Some(Err(error)) => self.wait_after(&error, &stop).await,
            }
        }
        close(self.consumer).await;
        Ok(())
    }

    async fn wait_after(&mut self, error: &Error, stop: &CancellationToken) {
        if error.is_outage() {
            // Said once, when it began: see `kafka::Outage`.
            tracing::debug!(%error, topic = self.topic, "messages wait");
        } else {
            tracing::warn!(%error, topic = self.topic, "messages wait");
        }
        // The topic may have been wiped with all of Kafka: make it anew.
        self.subscribed &= !error.is_unknown_topic();
        // A consumer that the group has thrown out for good delivers nothing any more,
        // even if the cause is mended.
        if self.consumer.client().fatal_error().is_some() {
            self.replace_consumer();
        }
        stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Commits the stored offsets and leaves the group.
async fn close(consumer: Arc<Consumer>) {
    let closed = drop_aside(consumer);
    if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
        tracing::warn!("the Kafka consumer did not close in time; its group will notice");
    }
}

/// Dropping a consumer blocks, and has been seen to hang: it gets a thread of its own. Not one of
/// tokio's: the runtime would wait for it at its end, without limit.
fn drop_aside(consumer: Arc<Consumer>) -> oneshot::Receiver<()> {
    let (dropped, wait) = oneshot::channel();
    std::thread::spawn(move || {
        drop(consumer);
        // Nobody waits any more if it took too long.
        let _ = dropped.send(());
    });
    wait
}
