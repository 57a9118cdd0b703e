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
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// What one question to Kafka may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// By partition that is ours: where the group goes on, and where the log ends.
type Found = HashMap<i32, Range<i64>>;

pub(super) struct Watchdog {
    /// Between two looks.
    pause: Duration,
    next: Instant,
    /// The answer of the look that is under way.
    looking: Option<oneshot::Receiver<KafkaResult<Found>>>,
    /// The messages that waited at the last look: partition and offset, less what was heard of since.
    before: HashMap<i32, i64>,
    /// Partitions that were heard of since the look under way began.
    heard: HashSet<i32>,
    /// Where each partition goes on by our own account. The group learns of it a second
    /// later and, while its coordinator is away, not at all.
    handled: HashMap<i32, i64>,
}

impl Watchdog {
    /// A watchdog that bites after `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        let pause = limit / 2;
        Self {
            pause,
            next: Instant::now() + pause,
            looking: None,
            before: HashMap::new(),
            heard: HashSet::new(),
            handled: HashMap::new(),
        }
    }

    /// A message was delivered, whatever became of it.
    pub(super) fn hears(&mut self, partition: i32) {
        self.before.remove(&partition);
        self.heard.insert(partition);
    }

    /// Everything before this offset is handled.
    pub(super) fn passes(&mut self, partition: i32, next: i64) {
        self.handled.insert(partition, next);
    }

    /// Forgets what waited: something else than the consumer held it up.
    pub(super) fn rest(&mut self) {
        (self.looking, self.next) = (None, Instant::now() + self.pause);
        self.before.clear();
    }

    /// Begins anew with a fresh subscription.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.pause * 2);
    }

    /// Ends when a partition is stuck; returns it and where the group stands in it. Poll it only
    /// when nothing is left to be received: what waits in the consumer's own queue for a slow
    /// handler is not stuck. May be dropped at any point and called again.
    pub(super) async fn stuck(&mut self, of: Subject<'_>) -> (i32, i64) {
        loop {
            if self.looking.is_none() {
                tokio::time::sleep_until(self.next).await;
                self.heard.clear();
                self.looking = Some(look(&of));
            }
            let answer = match &mut self.looking {
                Some(answer) => answer.await,
                None => continue,
            };
            self.looking = None;
            self.next = Instant::now() + self.pause;
            // Kafka that is away is no fault of the consumer's.
            let found = answer.unwrap_or_else(|_| Ok(Found::new()));
            let found = found.unwrap_or_else(|error| {
                tracing::debug!(%error, topic = of.topic, "not looked");
                Found::new()
            });
            if let Some(stuck) = self.compare(found, of.holds) {
                return stuck;
            }
        }
    }

    /// A partition in which the same message waits as at the last look.
    fn compare(&mut self, found: Found, holds: &Holds) -> Option<(i32, i64)> {
        let waiting = found.into_iter().filter_map(|(partition, found)| {
            let handled = self.handled.get(&partition).copied().unwrap_or_default();
            let at = found.start.max(handled);
            let excused = self.heard.contains(&partition) || holds.pauses(partition);
            (at < found.end && !excused).then_some((partition, at))
        });
        let waiting = waiting.collect();
        let before = mem::replace(&mut self.before, waiting);
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
fn look(of: &Subject<'_>) -> oneshot::Receiver<KafkaResult<Found>> {
    let (answer, receiver) = oneshot::channel();
    // Weak: whoever closes the consumer must be the last to hold it.
    let (consumer, kafka) = (Arc::downgrade(of.consumer), of.kafka.clone());
    let (group, topic) = (of.group.to_owned(), of.topic.to_owned());
    std::thread::spawn(move || {
        // Nobody waits any more if the inbox has stopped.
        let _ = answer.send(find(&consumer, &kafka, &group, &topic));
    });
    receiver
}

fn find(
    consumer: &Weak<Consumer>,
    kafka: &kafka::Options,
    group: &str,
    topic: &str,
) -> KafkaResult<Found> {
    let mut found = Found::new();
    let Some(consumer) = consumer.upgrade() else {
        return Ok(found);
    };
    let assigned = consumer.assignment()?;
    drop(consumer);
    if assigned.count() == 0 {
        return Ok(found);
    }
    let probe: BaseConsumer<kafka::Context> = kafka.onlooker(group)?;
    for at in probe.committed_offsets(assigned, PATIENCE)?.elements() {
        let (low, high) = probe.fetch_watermarks(topic, at.partition(), PATIENCE)?;
        let next = match at.offset() {
            // What retention has deleted waits for nobody.
            Offset::Offset(next) => next.max(low),
            _ => low,
        };
        found.insert(at.partition(), next..high);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog() -> Watchdog {
        Watchdog::new(Duration::from_secs(60))
    }

    /// A look at a partition whose log ends at 9.
    fn look(watchdog: &mut Watchdog, next: i64) -> Option<(i32, i64)> {
        watchdog.compare(Found::from([(0, next..9)]), &Holds::default())
    }

    #[tokio::test]
    async fn a_message_that_waits_at_two_looks_is_stuck() {
        let mut watchdog = watchdog();
        assert_eq!(look(&mut watchdog, 5), None);
        assert_eq!(look(&mut watchdog, 5), Some((0, 5)));
    }

    #[tokio::test]
    async fn another_message_is_another_matter() {
        let mut watchdog = watchdog();
        for next in 5..8 {
            assert_eq!(look(&mut watchdog, next), None);
        }
    }

    #[tokio::test]
    async fn what_was_heard_of_is_not_stuck() {
        let mut watchdog = watchdog();
        for _ in 0..3 {
            assert_eq!(look(&mut watchdog, 5), None);
            watchdog.hears(0);
        }
    }

    #[tokio::test]
    async fn what_is_handled_and_not_yet_committed_does_not_wait() {
        let mut watchdog = watchdog();
        watchdog.passes(0, 9);
        for _ in 0..3 {
            assert_eq!(look(&mut watchdog, 5), None);
        }
    }

    #[tokio::test]
    async fn what_waited_for_the_database_is_not_stuck() {
        let mut watchdog = watchdog();
        for _ in 0..3 {
            assert_eq!(look(&mut watchdog, 5), None);
            watchdog.rest();
        }
    }
}
