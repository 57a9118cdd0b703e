//! What librdkafka says of itself, as metrics.
//!
//! Not guaranteed: the lag of a consumer that has stopped fetching, which measures by the end of
//! the log that it last saw: the inbox's watchdog asks Kafka itself. And what nobody has is in
//! nobody's lag: a group without a consumer shows in `coffeeshop.consumer.partitions`.

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Meter},
};
use rdkafka::statistics::{Partition, Statistics};
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};
use telemetry::semconv::metrics::{
    CONSUMER_LAG, CONSUMER_PARTITIONS, CONSUMER_REBALANCES, KAFKA_ERRORS, KAFKA_QUEUED, KAFKA_RTT,
};

/// How often a client says it: twice per export. It costs the client a few kilobytes of JSON.
pub(super) const INTERVAL_MS: &str = "5000";

static CLIENTS: LazyLock<Clients> =
    LazyLock::new(|| Clients::new(&global::meter("coffeeshop.messaging")));

struct Clients {
    queued: Gauge<u64>,
    errors: Counter<u64>,
    rtt: Gauge<f64>,
    lag: Gauge<u64>,
    partitions: Gauge<u64>,
    rebalances: Counter<u64>,
}

impl Clients {
    fn new(meter: &Meter) -> Self {
        Self {
            queued: KAFKA_QUEUED.gauge(meter),
            errors: KAFKA_ERRORS.counter(meter),
            rtt: KAFKA_RTT.seconds(meter),
            lag: CONSUMER_LAG.gauge(meter),
            partitions: CONSUMER_PARTITIONS.gauge(meter),
            rebalances: CONSUMER_REBALANCES.counter(meter),
        }
    }
}

/// One client's, from its creation on.
#[derive(Default)]
pub(super) struct Told {
    /// Of a consumer.
    group: Option<String>,
    errors: AtomicU64,
    rebalances: AtomicU64,
}

impl Told {
    pub(super) fn consumer(group: &str) -> Self {
        Self {
            group: Some(group.to_owned()),
            errors: AtomicU64::default(),
            rebalances: AtomicU64::default(),
        }
    }

    /// Measures what the client says.
    pub(super) fn hears(&self, of: &Statistics) {
        let kind = match self.group {
            Some(_) => "consumer",
            None => "producer",
        };
        let client = [KeyValue::new("coffeeshop.kafka.client", kind)];
        let new = growth(&self.errors, errors(of));
        CLIENTS.errors.add(new, &client);
        if let Some(rtt) = slowest(of) {
            CLIENTS.rtt.record(rtt, &client);
        }
        match &self.group {
            Some(group) => self.consumes(group, of),
            None => CLIENTS.queued.record(of.msg_cnt, &[]),
        }
    }

    fn consumes(&self, group: &str, of: &Statistics) {
        let group = of_group(group);
        if let Some(cgrp) = &of.cgrp {
            let count = |count: i64| u64::try_from(count).unwrap_or_default();
            let of_group = [group.clone()];
            let assigned = count(cgrp.assignment_size.into());
            CLIENTS.partitions.record(assigned, &of_group);
            let new = growth(&self.rebalances, count(cgrp.rebalance_cnt));
            CLIENTS.rebalances.add(new, &of_group);
        }
        for topic in of.topics.values() {
            let name = KeyValue::new("messaging.destination.name", topic.topic.clone());
            // The negative one is librdkafka's own.
            for partition in topic.partitions.values().filter(|p| p.partition >= 0) {
                let id = partition.partition.to_string();
                let id = KeyValue::new("messaging.destination.partition.id", id);
                let attributes = [group.clone(), name.clone(), id];
                CLIENTS.lag.record(lag(partition), &attributes);
            }
        }
    }
}

/// A gauge is sent until it is measured again: a consumer that is gone has nothing.
impl Drop for Told {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            CLIENTS.partitions.record(0, &[of_group(group)]);
        }
    }
}

fn of_group(group: &str) -> KeyValue {
    KeyValue::new("messaging.consumer.group.name", group.to_owned())
}

/// What a count of the client has grown by since it was last told.
fn growth(told: &AtomicU64, now: u64) -> u64 {
    now.saturating_sub(told.swap(now, Ordering::Relaxed))
}

fn errors(of: &Statistics) -> u64 {
    let brokers = of.brokers.values();
    brokers.map(|b| b.txerrs + b.rxerrs + b.req_timeouts).sum()
}

/// In seconds. Nothing is known of a broker that was not asked lately.
fn slowest(of: &Statistics) -> Option<f64> {
    let rtts = of.brokers.values().filter_map(|b| b.rtt.as_ref());
    let asked = rtts.filter(|rtt| rtt.cnt > 0).map(|rtt| rtt.p99);
    let slowest = u32::try_from(asked.max()?).ok()?;
    Some(f64::from(slowest) / 1e6)
}

/// What is not handled of a partition; 0 of one that another process has by now, which would
/// otherwise be counted twice for ever.
///
/// By what is stored, which is what is handled; by what the group has committed as long as nothing
/// is stored; and of a group that has neither, all that there is.
fn lag(of: &Partition) -> u64 {
    if of.fetch_state != "active" && of.fetch_state != "stopping" {
        return 0;
    }
    let known = [
        of.consumer_lag_stored,
        of.consumer_lag,
        of.hi_offset - of.lo_offset,
    ];
    let known = known.into_iter().find(|lag| *lag >= 0);
    known
        .and_then(|lag| u64::try_from(lag).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(fetch_state: &str, stored: i64, committed: i64) -> Partition {
        Partition {
            fetch_state: fetch_state.to_owned(),
            consumer_lag_stored: stored,
            consumer_lag: committed,
            lo_offset: 2,
            hi_offset: 9,
            ..Partition::default()
        }
    }

    #[test]
    fn lag_is_what_is_not_handled_of_a_partition_that_is_ours() {
        assert_eq!(lag(&partition("active", 3, 5)), 3);
        assert_eq!(lag(&partition("active", -1, 5)), 5);
        assert_eq!(lag(&partition("active", -1, -1)), 7);
        assert_eq!(lag(&partition("none", 3, 5)), 0);
    }

    #[test]
    fn a_count_is_told_once() {
        let told = AtomicU64::default();
        let grown = [4, 4, 6, 6].map(|now| growth(&told, now));
        assert_eq!(grown, [4, 0, 2, 0]);
    }
}
