//! The topics as a witness: is everything on them that was to be published, and nothing else?
//!
//! Read from the start, past every consumer group. Every revision of an order and of a ticket is a
//! row of a history and one event or more; every event below an outbox' cursor was acknowledged by
//! Kafka; every order that an event of ours is about has a history. Not to be asked of a Kafka that was wiped, or whose retention is over.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use prost::Message as _;
use proto::{barista::v1::TicketEvent, reception::v1::OrderEvent};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _},
};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Finding, Ledgers, Rule};

const PATIENCE: Duration = Duration::from_secs(20);
/// How the source of an event begins that a service of ours has written.
const OURS: &str = "/coffeeshop/";
/// Events that an outbox says were sent, without those that Kafka refused for good.
const SENT: &str = "select o.order_id, o.event_id from outbox o join outbox_parts p using (part) \
    where (o.xid, o.seq) <= (p.cursor_xid, p.cursor_seq) and not exists ( \
        select from dead_letters d where d.consumer = 'relay' and d.event_id = o.event_id)";

/// What the topics hold.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Published {
    /// Messages, repeats included.
    pub messages: usize,
    /// Of these, those that were sent again: the same event a second time.
    pub repeats: usize,
    /// Events that lie behind a later one of the same order: whoever applied them by their sequence
    /// would go backwards.
    pub inversions: usize,
    /// What is missing, and what is there without a cause.
    pub findings: Vec<Finding>,
}

/// Reads both topics, reception's and the barista's, and compares them with what was to be there.
/// Asked of a shop in which nothing is in flight.
pub async fn check(ledgers: &Ledgers, brokers: &str, topics: &[String; 2]) -> Result<Published> {
    let order = |payload: &[u8]| OrderEvent::decode(payload).map(|e| (e.order_id, e.revision));
    let ticket = |payload: &[u8]| TicketEvent::decode(payload).map(|e| (e.order_id, e.revision));
    let (orders, tickets) = tokio::try_join!(
        read(brokers, &topics[0], order),
        read(brokers, &topics[1], ticket)
    )?;
    let mut published = Published::default();
    let (reception, barista) = (&ledgers.reception, &ledgers.barista);
    let history = "select order_id, revision from order_history";
    published.compare(orders, reception, history).await?;
    let history = "select order_id, revision from ticket_history";
    published.compare(tickets, barista, history).await?;
    Ok(published)
}

/// One topic.
#[derive(Default)]
struct Topic {
    messages: usize,
    inversions: usize,
    events: HashSet<Uuid>,
    revisions: HashSet<(Uuid, i64)>,
    /// The latest revision so far. An order keeps to one partition, and so to one sequence.
    latest: HashMap<Uuid, i64>,
}

impl Published {
    async fn compare(
        &mut self,
        topic: Topic,
        ledger: &PgPool,
        history: &'static str,
    ) -> Result<()> {
        self.messages += topic.messages;
        self.repeats += topic.messages - topic.events.len();
        self.inversions += topic.inversions;
        let sent: Vec<(Uuid, Uuid)> = sqlx::query_as(SENT).fetch_all(ledger).await?;
        for (order_id, event_id) in sent {
            if !topic.events.contains(&event_id) {
                self.misses(order_id, format!("event {event_id} is sent"));
            }
        }
        let revisions: Vec<(Uuid, i64)> = sqlx::query_as(history).fetch_all(ledger).await?;
        for (order_id, revision) in &revisions {
            if !topic.revisions.contains(&(*order_id, *revision)) {
                self.misses(*order_id, format!("revision {revision}"));
            }
        }
        // Not revision by revision: an order whose database was restored may get on by fewer steps.
        let known: HashSet<Uuid> = revisions.iter().map(|(order_id, _)| *order_id).collect();
        for (order_id, latest) in topic.latest.iter().filter(|(id, _)| !known.contains(id)) {
            let detail = format!("up to revision {latest}");
            self.finds(Rule::NeverHappened, *order_id, detail);
        }
        Ok(())
    }

    fn misses(&mut self, order_id: Uuid, detail: String) {
        self.finds(Rule::NotPublished, order_id, detail);
    }

    fn finds(&mut self, rule: Rule, order_id: Uuid, detail: String) {
        self.findings.push(Finding {
            rule,
            order_id,
            detail,
        });
    }
}

type Decode = fn(&[u8]) -> Result<(String, i64), prost::DecodeError>;

async fn read(brokers: &str, topic: &str, decode: Decode) -> Result<Topic> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    // Required of every consumer; this one is assigned by hand and commits nothing.
    config.set("group.id", "books");
    config.set("enable.auto.commit", "false");
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || read_blocking(&config, &topic, decode)).await?
}

fn read_blocking(config: &ClientConfig, name: &str, decode: Decode) -> Result<Topic> {
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(name), PATIENCE)?;
    let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
    let (mut assigned, mut left) = (TopicPartitionList::new(), 0);
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(name, partition.id(), PATIENCE)?;
        assigned.add_partition_offset(name, partition.id(), Offset::Beginning)?;
        left += high - low;
    }
    consumer.assign(&assigned)?;
    let mut topic = Topic::default();
    for _ in 0..left {
        topic.take(&next(&consumer, name)?, decode);
    }
    Ok(topic)
}

/// An error may be of a connection that librdkafka opens again: it counts if nothing follows.
fn next<'a>(consumer: &'a BaseConsumer, name: &str) -> Result<BorrowedMessage<'a>> {
    let (deadline, mut error) = (Instant::now() + PATIENCE, None);
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        match consumer.poll(left) {
            Some(Ok(message)) => return Ok(message),
            Some(Err(said)) => error = Some(said),
            None => break,
        }
    }
    let less = format!("{name} holds less than it says");
    Err(error.map_or_else(|| anyhow!("nothing comes"), Into::into)).context(less)
}

impl Topic {
    /// What no service of ours has written is counted, and is nobody's event.
    fn take(&mut self, message: &BorrowedMessage<'_>, decode: Decode) {
        let Some(event_id) = event_id(message) else {
            return;
        };
        self.messages += 1;
        let is_new = self.events.insert(event_id);
        if let Ok((order_id, revision)) = decode(message.payload().unwrap_or_default())
            && let Ok(order_id) = order_id.parse()
        {
            self.revisions.insert((order_id, revision));
            let latest = self.latest.entry(order_id).or_insert(revision);
            self.inversions += usize::from(is_new && revision < *latest);
            *latest = revision.max(*latest);
        }
    }
}

/// None if no service of ours has written it.
fn event_id(message: &BorrowedMessage<'_>) -> Option<Uuid> {
    let header = |key| {
        let mut headers = message.headers()?.iter();
        std::str::from_utf8(headers.find(|header| header.key == key)?.value?).ok()
    };
    let ours = header("ce_source")?.starts_with(OURS);
    ours.then(|| header("ce_id")?.parse().ok()).flatten()
}
