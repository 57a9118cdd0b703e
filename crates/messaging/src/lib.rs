//! At least once on the wire, effects once.
//!
//! A service that changes its state and tells others about it has two writes to
//! make, and may die between them. Here the event is a row, written in the
//! transaction that changes the state ([`outbox`]); a [`relay`] publishes the rows
//! and may publish one twice; the consumer's [`inbox`] remembers what it has
//! handled, in the transaction of the effect. Between them: no event is lost, and
//! no event has its effect twice.
//!
//! ```text
//!  use case ─ state + event row ─▶ outbox ─▶ relay ─▶ Kafka ─▶ inbox ─ id + effect ─▶ state
//!             (one transaction)          (duplicates)          (one transaction)
//! ```
//!
//! Not guaranteed: that events of one order arrive in the order of their
//! revisions. Consumers therefore apply a snapshot only if its revision is greater
//! than the last one they applied.

/// What waits in the outbox.
pub mod backlog;
/// Messages that cannot be handled, kept whole.
pub mod dead_letters;
/// What is said: an event with its CloudEvents headers.
pub mod event;
/// Reading one's own outbox from a place that the reader keeps.
pub mod follow;
/// Making room in outbox and inbox.
pub mod housekeeping;
/// Handling what others said, once.
pub mod inbox;
/// Every setting of every Kafka client, each with its reason.
pub mod kafka;
/// Who may publish which part of the outbox: leases with epochs.
pub mod lease;
// What is measured.
mod metrics;
/// Writing events down in the transaction that causes them.
pub mod outbox;
/// Publishing what the outbox holds.
pub mod relay;
// The spans of messages.
mod spans;
/// Reading one's own outbox, to wake those who watch.
pub mod tail;

pub use spans::Steps;

/// The tables of this crate, and what was added to them since, each of which services carry a copy
/// of as a migration, in this order. What has landed is never edited: a change is one more.
pub const SCHEMAS: &[&str] = &[include_str!("../schema.sql")];
