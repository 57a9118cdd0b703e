//! The names of all that is exported: spans, attributes, metrics.
//!
//! The standard ones are those of OpenTelemetry's semantic conventions, version 1.42. Ours begin
//! with `coffeeshop.`. What each means is in `docs/telemetry.md`, and a test compares that page
//! with what a running shop really exports, both ways.
//!
//! Where the macros of `tracing` want a literal, it is the one of the constant here: that test
//! finds one that is not.

/// What is measured.
pub mod metrics;

pub use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        CLOUDEVENTS_EVENT_TYPE, ERROR_TYPE, MESSAGING_BATCH_MESSAGE_COUNT,
        MESSAGING_CONSUMER_GROUP_NAME, MESSAGING_DESTINATION_NAME,
        MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_KAFKA_MESSAGE_KEY, MESSAGING_KAFKA_OFFSET,
        MESSAGING_MESSAGE_ID, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM,
        RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVER_PORT,
    },
};

/// Which order something is about: of spans, of log lines.
pub const ORDER_ID: &str = "coffeeshop.order.id";
/// What became of a message in an inbox: one of [`outcome`].
pub const INBOX_OUTCOME: &str = "coffeeshop.inbox.outcome";
/// What is brewed.
pub const DRINK_ID: &str = "coffeeshop.drink.id";
/// In which size.
pub const DRINK_SIZE: &str = "coffeeshop.drink.size";
/// Which line of the order the drink is of, from 0.
pub const DRINK_LINE: &str = "coffeeshop.drink.line";
/// Which unit of that line it is, from 0.
pub const DRINK_UNIT: &str = "coffeeshop.drink.unit";
/// Which taking of the drink it is, from 1: more than 1 is a take-over.
pub const DRINK_ATTEMPT: &str = "coffeeshop.drink.attempt";
/// Who brews it.
pub const BARISTA_ID: &str = "coffeeshop.barista.id";
/// What an order still owes the provider: `charge`, `cancel` or `refund`.
pub const SETTLE_CALL: &str = "coffeeshop.settle.call";

/// Counts ended spans that no collector has got, by [`ERROR_TYPE`]: `queue_full` or
/// `export_failed`.
pub const SPANS_DROPPED: &str = "coffeeshop.telemetry.spans.dropped";

/// Names of spans. A call's is its method, `package.Service/Method`; those of messages are
/// followed by the topic: `send orders.v1`.
pub mod span {
    /// An event that drives the next step of its order was decided. Its context is the one that
    /// travels, in the outbox and in Kafka's headers.
    pub const CREATE: &str = "create";
    /// From the moment the event was written until Kafka had it, outages included.
    pub const SEND: &str = "send";
    /// What a consumer made of it, from its arrival until the commit.
    pub const PROCESS: &str = "process";
    /// A dead letter was handled once more.
    pub const REPLAY: &str = "replay";
    /// One batch of a relay: a trace of its own, linked to the events in it.
    pub const SEND_BATCH: &str = "send_batch";
    /// One transaction of an inbox: a trace of its own, linked to the messages in it.
    pub const PROCESS_BATCH: &str = "process_batch";
    /// A drink in the hands of a barista, from its taking to its booking.
    pub const BREW: &str = "brew";
    /// The sweeper settles what an order owes the provider.
    pub const SETTLE: &str = "settle";
}

/// What may become of a message in an inbox.
pub mod outcome {
    /// It had its effect.
    pub const DONE: &str = "done";
    /// It needed none.
    pub const ABSORBED: &str = "absorbed";
    /// Its id was known.
    pub const DUPLICATE: &str = "duplicate";
    /// It was parked.
    pub const DEAD_LETTER: &str = "dead_letter";
    /// It waits for another try.
    pub const HELD_BACK: &str = "held_back";
}
