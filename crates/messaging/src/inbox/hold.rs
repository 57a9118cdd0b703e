//! Partitions that wait for a retry.
//!
//! A message that asks for a retry is put back: its partition is paused and sought
//! back to it, so the message keeps its place, memory stays bounded, and the other
//! partitions go on. A rebalance forgets the pause; the retry then comes early.

use super::Origin;
use crate::kafka::Consumer;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;
use tracing::field::display;
use uuid::Uuid;

/// After the first try; doubled by each one after it.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Holds(HashMap<i32, Hold>);

struct Hold {
    tries: u32,
    /// Absent once the partition runs again.
    until: Option<Instant>,
}

impl Holds {
    /// Puts a message back.
    pub(super) fn hold(
        &mut self,
        consumer: &Consumer,
        origin: &Origin,
        order_id: Option<Uuid>,
        reason: &str,
    ) {
        let hold = self.0.entry(origin.partition).or_insert(Hold {
            tries: 0,
            until: None,
        });
        let pause = pause_after(hold.tries);
        hold.tries += 1;
        hold.until = Some(Instant::now() + pause);
        let Origin {
            topic,
            partition,
            offset,
            ..
        } = origin;
        let order_id = order_id.map(display);
        tracing::warn!(
            topic,
            partition,
            offset,
            coffeeshop.order.id = order_id,
            ?pause,
            reason,
            "message put back"
        );
        // Both fail if a rebalance took the partition: then it is another's to retry.
        let put_back = consumer.pause(&list(topic, *partition)).and_then(|()| {
            // Zero: do not block this thread for an answer; librdkafka seeks before it
            // fetches on.
            consumer.seek(topic, *partition, Offset::Offset(*offset), Duration::ZERO)
        });
        if let Err(error) = put_back {
            tracing::debug!(%error, topic, partition, "not ours any more");
        }
    }

    /// Forgets the tries of a partition that moves again.
    pub(super) fn forget(&mut self, partition: i32) {
        self.0.remove(&partition);
    }

    /// Whether a partition waits on purpose.
    pub(super) fn pauses(&self, partition: i32) -> bool {
        self.0
            .get(&partition)
            .is_some_and(|hold| hold.until.is_some())
    }

    /// Waits until the first pause is over; for ever if there is none.
    pub(super) async fn wait(&self) {
        match self.0.values().filter_map(|hold| hold.until).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Lets the partitions run whose pause is over.
    pub(super) fn release_due(&mut self, consumer: &Consumer, topic: &str) {
        let now = Instant::now();
        for (partition, hold) in &mut self.0 {
            if hold.until.is_some_and(|until| until <= now) {
                hold.until = None;
                if let Err(error) = consumer.resume(&list(topic, *partition)) {
                    tracing::debug!(%error, topic, partition, "not ours any more");
                }
            }
        }
    }
}

/// The pause after one more try.
fn pause_after(tries: u32) -> Duration {
    FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST)
}

fn list(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_tenth_of_a_second_to_half_a_minute() {
        let pauses = [0, 1, 2, 8, 9, u32::MAX].map(|tries| pause_after(tries).as_millis());
        assert_eq!(pauses, [100, 200, 400, 25_600, 30_000, 30_000]);
    }
}
