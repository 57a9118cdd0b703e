//! What an operator should see before a customer tells: the instruments of this crate.
//!
//! They are made when first used, from the process's meter provider, and do nothing if
//! it has none. Counts are of this process; the gauges are of the whole outbox, which
//! every instance of a service measures: take the greatest, not the sum.

use crate::inbox::Processed;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use std::{sync::LazyLock, time::Duration};
use telemetry::semconv::metrics as names;

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backlog {
    /// Committed events that are not sent; no more than are counted.
    pub(crate) unsent: u64,
    /// How long the oldest of them has waited.
    pub(crate) age: Duration,
    /// How long the oldest has waited that no relay may read yet.
    pub(crate) horizon_age: Duration,
    /// Messages that are parked; no more than are counted.
    pub(crate) dead_letters: u64,
}

static OUTBOX: LazyLock<Outbox> = LazyLock::new(Outbox::new);
static INBOX: LazyLock<Inbox> = LazyLock::new(Inbox::new);

struct Outbox {
    unsent: Gauge<u64>,
    unsent_age: Gauge<f64>,
    horizon_age: Gauge<f64>,
    dead_letters: Gauge<u64>,
    batch_size: Histogram<f64>,
    leases: Gauge<u64>,
    refused: Counter<u64>,
    fenced: Counter<u64>,
}

struct Inbox {
    done: Counter<u64>,
    duplicates: Counter<u64>,
    absorbed: Counter<u64>,
    dead_letters: Counter<u64>,
    held_back: Counter<u64>,
}

impl Outbox {
    fn new() -> Self {
        let meter = meter();
        Self {
            unsent: names::OUTBOX_UNSENT.gauge(&meter),
            unsent_age: names::OUTBOX_UNSENT_AGE.seconds(&meter),
            horizon_age: names::OUTBOX_HORIZON_AGE.seconds(&meter),
            dead_letters: names::DEAD_LETTERS.gauge(&meter),
            batch_size: names::OUTBOX_BATCH_SIZE.histogram(&meter, names::EVENTS),
            leases: names::OUTBOX_LEASES.gauge(&meter),
            refused: names::OUTBOX_REFUSED.counter(&meter),
            fenced: names::OUTBOX_FENCED.counter(&meter),
        }
    }
}

impl Inbox {
    fn new() -> Self {
        let meter = meter();
        Self {
            done: names::INBOX_DONE.counter(&meter),
            duplicates: names::INBOX_DUPLICATES.counter(&meter),
            absorbed: names::INBOX_ABSORBED.counter(&meter),
            dead_letters: names::INBOX_DEAD_LETTERS.counter(&meter),
            held_back: names::INBOX_HELD_BACK.counter(&meter),
        }
    }
}

fn meter() -> Meter {
    global::meter("coffeeshop.messaging")
}

/// What a batch of an inbox did.
pub(crate) fn inbox(consumer: &'static str, processed: &Processed) {
    let consumer = [KeyValue::new("coffeeshop.consumer", consumer)];
    let counts = [
        (&INBOX.done, processed.done),
        (&INBOX.duplicates, processed.duplicates),
        (&INBOX.absorbed, processed.absorbed),
        (&INBOX.dead_letters, processed.dead_letters),
        (&INBOX.held_back, processed.held_back),
    ];
    for (counter, count) in counts {
        // Also of nothing: a rate needs a zero to rise from.
        counter.add(count as u64, &consumer);
    }
}

/// A relay's, with its topic: made once, so that a batch costs no allocation.
pub(crate) struct Relayed {
    topic: [KeyValue; 1],
}

impl Relayed {
    pub(crate) fn new(topic: &str) -> Self {
        let topic = [destination(topic)];
        // What is seldom counted is there from the start: a rate needs a zero to rise from.
        OUTBOX.refused.add(0, &topic);
        OUTBOX.fenced.add(0, &topic);
        Self { topic }
    }

    /// What a batch came to: events that Kafka has acknowledged, events parked because Kafka will
    /// never take them, and events sent although their part had changed hands.
    pub(crate) fn published(&self, acknowledged: usize, refused: usize, fenced: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a batch has a few thousand")]
        OUTBOX.batch_size.record(acknowledged as f64, &self.topic);
        if refused + fenced > 0 {
            OUTBOX.refused.add(refused as u64, &self.topic);
            OUTBOX.fenced.add(fenced as u64, &self.topic);
        }
    }
}

/// How many parts of the outbox this process publishes.
pub(crate) fn leases(parts: i64) {
    OUTBOX
        .leases
        .record(u64::try_from(parts).unwrap_or_default(), &[]);
}

/// What waits in the outbox.
pub(crate) fn backlog(topic: &str, backlog: &Backlog) {
    let topic = [destination(topic)];
    OUTBOX.unsent.record(backlog.unsent, &topic);
    OUTBOX.unsent_age.record(backlog.age.as_secs_f64(), &topic);
    OUTBOX
        .horizon_age
        .record(backlog.horizon_age.as_secs_f64(), &topic);
    OUTBOX.dead_letters.record(backlog.dead_letters, &[]);
}

fn destination(topic: &str) -> KeyValue {
    KeyValue::new("messaging.destination.name", topic.to_owned())
}
