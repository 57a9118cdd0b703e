//! Every metric of this repository: its name, its unit, what it says.
//!
//! Names of OpenTelemetry's semantic conventions (1.42) where they have one, else under
//! `coffeeshop.`. The table in docs/telemetry.md adds kinds and attributes; a test compares both
//! with what a running shop sends.
//!
//! Attributes have few values: never an id, never a word of a customer's.

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// As it is sent.
    pub name: &'static str,
    /// In UCUM; what is counted stands in braces.
    pub unit: &'static str,
    /// What it says.
    pub description: &'static str,
}

macro_rules! metrics {
    ($($id:ident: $name:literal, $unit:literal, $description:literal;)*) => {
        $(#[doc = $description] pub const $id: Metric = Metric {
            name: $name,
            unit: $unit,
            description: $description,
        };)*

        /// All of them.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    RPC_SERVER_CALL_DURATION: "rpc.server.call.duration", "s", "How long calls took that came in, streams whole";
    RPC_CLIENT_CALL_DURATION: "rpc.client.call.duration", "s", "How long calls took that went out, with every try of each";
    CIRCUIT_STATE: "coffeeshop.circuit.state", "", "0: closed, 1: half-open, 2: open";
    CIRCUIT_TRANSITIONS: "coffeeshop.circuit.transitions", "{transition}", "Came into the state";
    CIRCUIT_CALLS: "coffeeshop.circuit.calls", "{call}", "Were let through, and ended with the outcome";
    CIRCUIT_REJECTED: "coffeeshop.circuit.rejected", "{call}", "Were refused without asking the service";

    ORDER_TRANSITIONS: "coffeeshop.order.transitions", "{transition}", "Orders that came into the state";
    ORDER_READY_DURATION: "coffeeshop.order.ready.duration", "s", "From placed to READY";
    ORDERS_UNMADE: "coffeeshop.orders.unmade", "{order}", "Paid orders that are not ready, counted up to a limit";
    ORDERS_AWAITING_PAYMENT: "coffeeshop.orders.awaiting_payment", "{order}", "Orders whose charge is undecided, counted up to a limit";
    REFUNDS_OWED: "coffeeshop.refunds.owed", "{order}", "Orders that ended without coffee and whose money is not known to be back, counted up to a limit";
    REFUNDS_OWED_AGE: "coffeeshop.refunds.owed.age", "s", "How long the oldest of them has been owed";
    SETTLEMENTS: "coffeeshop.settlements", "{call}", "Calls that orders owed the provider, by what they came to";
    PAYMENT_WINDOWS_OVER: "coffeeshop.payment_windows.over", "{order}", "Orders that were cancelled because they were not paid in time";

    DRINKS_WAITING: "coffeeshop.drinks.waiting", "{drink}", "Drinks that nobody has begun, counted up to a limit";
    DRINKS_LEASED: "coffeeshop.drinks.leased", "{drink}", "Drinks in the hands of this process";
    DRINKS_BREWED: "coffeeshop.drinks.brewed", "{drink}", "Drinks that were brewed, by what the booking came to";

    OUTBOX_UNSENT: "coffeeshop.outbox.unsent", "{event}", "Committed events that are not sent, counted up to a limit";
    OUTBOX_UNSENT_AGE: "coffeeshop.outbox.unsent.age", "s", "How long the oldest unsent event has waited";
    OUTBOX_HORIZON_AGE: "coffeeshop.outbox.horizon.age", "s", "How long events have waited for an older transaction to end";
    OUTBOX_BATCH_SIZE: "coffeeshop.outbox.batch.size", "{event}", "Events that one round of a relay had acknowledged";
    OUTBOX_LEASES: "coffeeshop.outbox.leases", "{part}", "Parts of the outbox that this process publishes";
    OUTBOX_REFUSED: "coffeeshop.outbox.refused", "{event}", "Parked: Kafka refuses them for good";
    OUTBOX_FENCED: "coffeeshop.outbox.fenced", "{event}", "Sent after their part had changed hands: duplicates";
    INBOX_DONE: "coffeeshop.inbox.done", "{event}", "Had their effect";
    INBOX_DUPLICATES: "coffeeshop.inbox.duplicates", "{event}", "Were known by their id";
    INBOX_ABSORBED: "coffeeshop.inbox.absorbed", "{event}", "Needed no effect";
    INBOX_DEAD_LETTERS: "coffeeshop.inbox.dead_letters", "{event}", "Were parked";
    INBOX_HELD_BACK: "coffeeshop.inbox.held_back", "{event}", "Were put back for later";
    DEAD_LETTERS: "coffeeshop.dead_letters", "{event}", "Parked, and neither replayed nor dropped yet, counted up to a limit";
    CONSUMER_LAG: "coffeeshop.consumer.lag", "{message}", "Messages of a partition of ours that are not handled";
    CONSUMER_PARTITIONS: "coffeeshop.consumer.partitions", "{partition}", "Partitions that Kafka has given to this process";
    CONSUMER_REBALANCES: "coffeeshop.consumer.rebalances", "{rebalance}", "How often that changed";
    KAFKA_QUEUED: "coffeeshop.kafka.queued", "{message}", "Messages in the producer that Kafka has not acknowledged";
    KAFKA_ERRORS: "coffeeshop.kafka.errors", "{error}", "Requests to Kafka that failed or timed out";
    KAFKA_RTT: "coffeeshop.kafka.rtt", "s", "99th percentile of Kafka's answers, of the slowest broker";

    DB_CONNECTIONS: "db.client.connection.count", "{connection}", "Connections to the database, by state";
    DB_CONNECTIONS_MAX: "db.client.connection.max", "{connection}", "The most there may be";
    DB_CONNECTION_WAIT: "db.client.connection.wait_time", "s", "What a connection takes to get, asked once a second";

    PROCESS_CPU_TIME: "process.cpu.time", "s", "CPU seconds, by mode";
    PROCESS_MEMORY_USAGE: "process.memory.usage", "By", "Resident memory";
    RUNTIME_TASKS: "coffeeshop.runtime.tasks", "{task}", "Tasks of the runtime that are not over";
    RUNTIME_QUEUE: "coffeeshop.runtime.queue", "{task}", "Tasks that wait for any worker";
    RUNTIME_BUSY: "coffeeshop.runtime.busy", "s", "What workers of the runtime spent on tasks";
    SPANS_DROPPED: "coffeeshop.telemetry.spans.dropped", "{span}", "Ended spans that no collector has got";
}

/// Bounds for what takes milliseconds when all is well and seconds when it is not.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Bounds for an order: brewing alone takes seconds, an outage minutes.
pub const ORDER_SECONDS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0,
];
/// Bounds for what comes in batches.
pub const EVENTS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0,
];

impl Metric {
    /// Counts events of one kind.
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter
            .u64_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Says how many there are.
    pub fn gauge(&self, meter: &Meter) -> Gauge<u64> {
        meter
            .u64_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Says how long.
    pub fn seconds(&self, meter: &Meter) -> Gauge<f64> {
        meter
            .f64_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Spreads values over buckets. Without bounds of its own, a histogram gets the SDK's, which
    /// are made for milliseconds.
    pub fn histogram(&self, meter: &Meter, bounds: &[f64]) -> Histogram<f64> {
        meter
            .f64_histogram(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_boundaries(bounds.to_vec())
            .build()
    }
}
