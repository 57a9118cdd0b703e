//! What an operator should see before a customer tells: the instruments of this crate.
//!
//! They are made when first used, from the process's meter provider, and do nothing if
//! it has none. Counts are of this process; the gauges are of the whole outbox, which
//! every instance of a service measures: take the greatest, not the sum.

use crate::inbox::Processed;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use std::{sync::LazyLock, time::Duration};

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backlog {
    /// Committed events that are not sent; no more than are counted.
    pub(crate) unsent: u64,
    /// How long the oldest of them has waited.
    pub(crate) age: Duration,
    /// How long the oldest has waited that no relay may read yet.
    pub(crate) horizon_age: Duration,
}

static OUTBOX: LazyLock<Outbox> = LazyLock::new(Outbox::new);
static INBOX: LazyLock<Inbox> = LazyLock::new(Inbox::new);

struct Outbox {
    unsent: Gauge<u64>,
    unsent_age: Gauge<f64>,
    horizon_age: Gauge<f64>,
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
        Self {
            unsent: meter()
                .u64_gauge("coffeeshop.outbox.unsent")
                .with_unit("{event}")
                .with_description("Committed events that are not sent, counted up to a limit")
                .build(),
            unsent_age: meter()
                .f64_gauge("coffeeshop.outbox.unsent.age")
                .with_unit("s")
                .with_description("How long the oldest unsent event has waited")
                .build(),
            horizon_age: meter()
                .f64_gauge("coffeeshop.outbox.horizon.age")
                .with_unit("s")
                .with_description("How long events have waited for an older transaction to end")
                .build(),
            refused: events(
                "coffeeshop.outbox.refused",
                "Parked: Kafka refuses them for good",
            ),
            fenced: events(
                "coffeeshop.outbox.fenced",
                "Sent after their part had changed hands: duplicates",
            ),
        }
    }
}

impl Inbox {
    fn new() -> Self {
        Self {
            done: events("coffeeshop.inbox.done", "Had their effect"),
            duplicates: events("coffeeshop.inbox.duplicates", "Were known by their id"),
            absorbed: events("coffeeshop.inbox.absorbed", "Needed no effect"),
            dead_letters: events("coffeeshop.inbox.dead_letters", "Were parked"),
            held_back: events("coffeeshop.inbox.held_back", "Were put back for later"),
        }
    }
}

fn meter() -> opentelemetry::metrics::Meter {
    global::meter("coffeeshop.messaging")
}

fn events(name: &'static str, description: &'static str) -> Counter<u64> {
    meter()
        .u64_counter(name)
        .with_unit("{event}")
        .with_description(description)
        .build()
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
        counter.add(count as u64, &consumer);
    }
}

/// What a batch of a relay did that it should not have to: events parked because Kafka
/// will never take them, and events sent although their part had changed hands.
pub(crate) fn published(topic: &str, refused: usize, fenced: usize) {
    // Nearly always: not worth an allocation per batch.
    if refused + fenced > 0 {
        let topic = [destination(topic)];
        OUTBOX.refused.add(refused as u64, &topic);
        OUTBOX.fenced.add(fenced as u64, &topic);
    }
}

/// What waits in the outbox.
pub(crate) fn backlog(topic: &str, backlog: &Backlog) {
    let topic = [destination(topic)];
    OUTBOX.unsent.record(backlog.unsent, &topic);
    OUTBOX.unsent_age.record(backlog.age.as_secs_f64(), &topic);
    OUTBOX
        .horizon_age
        .record(backlog.horizon_age.as_secs_f64(), &topic);
}

fn destination(topic: &str) -> KeyValue {
    KeyValue::new("messaging.destination.name", topic.to_owned())
}
