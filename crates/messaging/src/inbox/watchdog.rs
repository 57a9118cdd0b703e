//! Noticing a consumer that runs and delivers nothing.
//!
//! Problem: Kafka's client has been seen to stay in its group, answer heartbeats, and
//! never deliver again. No error says so, and the partitions stay with it.
//! Guarantee: a message that waits in a partition of ours while this inbox has nothing
//! to do is found after at most two looks; the consumer is then replaced.
//! Not guaranteed: anything while Kafka does not answer, or the client not even us.
//!
//! Each look compares how far the group has got with what the topic holds. It asks
//! through a client of its own: what the stuck one believes is not to be trusted; its
//! own statistics know of no lag when it has stopped fetching.

use super::hold::Holds;
use crate::kafka::{self, Consumer};
use rdkafka::{
    Offset,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};
use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// What one question to Kafka may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// By partition: where the group stands, of those in which messages wait.
type Waiting = HashMap<i32, i64>;

pub(super) struct Watchdog {
    /// Between two looks.
    pause: Duration,
    next: Instant,
    /// The answer of the look that is under way.
    looking: Option<oneshot::Receiver<KafkaResult<Waiting>>>,
    /// What the last look found, less what has moved since.
    before: Waiting,
    /// What has moved since the look that is under way began.
    moved: HashSet<i32>,
}

impl Watchdog {
    /// A watchdog that bites after `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        let pause = limit / 2;
        Self {
            pause,
            next: Instant::now() + pause,
            looking: None,
            before: Waiting::new(),
            moved: HashSet::new(),
        }
    }

    /// A partition was heard of: it moves, or it was put back.
    pub(super) fn saw(&mut self, partition: i32) {
        self.before.remove(&partition);
        self.moved.insert(partition);
    }

    /// Begins anew: something else than the consumer holds messages up.
    pub(super) fn rest(&mut self) {
        *self = Self::new(self.pause * 2);
    }

    /// Ends when a partition is stuck; returns it and where the group stands in it. Poll it only
    /// when nothing is left to be received: what waits in the consumer's own queue for a slow
    /// handler is not stuck. May be dropped at any point and called again.
    pub(super) async fn stuck(&mut self, of: Subject<'_>) -> (i32, i64) {
        loop {
            if self.looking.is_none() {
                tokio::time::sleep_until(self.next).await;
                self.moved.clear();
                self.looking = Some(look(&of));
            }
            let answer = match &mut self.looking {
                Some(answer) => answer.await,
                None => continue,
            };
            self.looking = None;
            self.next = Instant::now() + self.pause;
            // Kafka that is away is no fault of the consumer's.
            let found = answer.unwrap_or_else(|_| Ok(Waiting::new()));
            let found = found.unwrap_or_else(|error| {
                tracing::debug!(%error, topic = of.topic, "not looked");
                Waiting::new()
            });
            if let Some(stuck) = self.compare(found, of.holds) {
                return stuck;
            }
        }
    }

    /// A partition in which the same message waits as at the last look.
    fn compare(&mut self, mut found: Waiting, holds: &Holds) -> Option<(i32, i64)> {
        found.retain(|partition, _| !self.moved.contains(partition) && !holds.pauses(*partition));
        let before = mem::replace(&mut self.before, found);
        let same = |(partition, at): &(i32, i64)| before.get(partition) == Some(at);
        self.before.iter().map(|(p, at)| (*p, *at)).find(same)
    }
}

/// Whom to look at.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) consumer: &'a Arc<Consumer>,
    pub(super) kafka: &'a kafka::Options,
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) holds: &'a Holds,
}

/// Looks on a thread of its own, because each question blocks, and not on one of tokio's: the
/// runtime would wait for it at its end, without limit.
fn look(of: &Subject<'_>) -> oneshot::Receiver<KafkaResult<Waiting>> {
    let (answer, receiver) = oneshot::channel();
    // Weak: whoever closes the consumer must be the last to hold it.
    let (consumer, kafka) = (Arc::downgrade(of.consumer), of.kafka.clone());
    let (group, topic) = (of.group.to_owned(), of.topic.to_owned());
    std::thread::spawn(move || {
        // Nobody waits any more if the inbox has stopped.
        let _ = answer.send(waiting(&consumer, &kafka, &group, &topic));
    });
    receiver
}

fn waiting(
    consumer: &Weak<Consumer>,
    kafka: &kafka::Options,
    group: &str,
    topic: &str,
) -> KafkaResult<Waiting> {
    let mut waiting = Waiting::new();
    let Some(consumer) = consumer.upgrade() else {
        return Ok(waiting);
    };
    let assigned = consumer.assignment()?;
    drop(consumer);
    if assigned.count() == 0 {
        return Ok(waiting);
    }
    let probe: BaseConsumer<kafka::Context> = kafka.onlooker(group)?;
    for at in probe.committed_offsets(assigned, PATIENCE)?.elements() {
        let (low, high) = probe.fetch_watermarks(topic, at.partition(), PATIENCE)?;
        let next = match at.offset() {
            // What retention has deleted waits for nobody.
            Offset::Offset(next) => next.max(low),
            _ => low,
        };
        if next < high {
            waiting.insert(at.partition(), next);
        }
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog() -> Watchdog {
        Watchdog::new(Duration::from_secs(60))
    }

    fn look(watchdog: &mut Watchdog, found: [(i32, i64); 1]) -> Option<(i32, i64)> {
        watchdog.compare(found.into(), &Holds::default())
    }

    #[tokio::test]
    async fn a_message_that_waits_at_two_looks_is_stuck() {
        let mut watchdog = watchdog();
        assert_eq!(look(&mut watchdog, [(0, 5)]), None);
        assert_eq!(look(&mut watchdog, [(0, 5)]), Some((0, 5)));
    }

    #[tokio::test]
    async fn another_message_is_another_matter() {
        let mut watchdog = watchdog();
        for at in 5..8 {
            assert_eq!(look(&mut watchdog, [(0, at)]), None);
        }
    }

    #[tokio::test]
    async fn what_was_heard_of_is_not_stuck() {
        let mut watchdog = watchdog();
        for _ in 0..3 {
            assert_eq!(look(&mut watchdog, [(0, 5)]), None);
            watchdog.saw(0);
        }
    }

    #[tokio::test]
    async fn what_waited_for_the_database_is_not_stuck() {
        let mut watchdog = watchdog();
        for _ in 0..3 {
            assert_eq!(look(&mut watchdog, [(0, 5)]), None);
            watchdog.rest();
        }
    }
}
