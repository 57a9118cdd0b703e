//! Counting the spans that no collector gets.
//!
//! Problem: a call never waits for tracing, so a span that finds the queue full is dropped, and
//! so is a batch that the collector does not take. The SDK does both in silence.
//! Guarantee: each of them is counted, in `coffeeshop.telemetry.spans.dropped`, and so is what the
//! last flush did not get rid of in its time; the log says when it begins and when it is over, not
//! once per span.
//! What the collector rejects of a batch that it takes comes from elsewhere (`super::rejected`).
//! Not guaranteed: a count of what a process that is killed had not sent, of spans that end after the
//! last flush began, or one that arrives: the collector that takes no spans may take no metrics either.
//!
//! ```text
//!  span ends ▶ Admission ▶ the SDK's queue ▶ its thread ▶ Watched ▶ OTLP
//!                └ counts in, refuses what is too much    └ counts out
//! ```
//! The queue behind the admission has room for all that it admits, so nobody else refuses any.

use crate::semconv::{ERROR_TYPE, metrics::SPANS_DROPPED};
use opentelemetry::{Context, KeyValue, global, metrics::Counter};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Why spans were dropped.
const QUEUE_FULL: &str = "queue_full";
const EXPORT_FAILED: &str = "export_failed";
const REJECTED: &str = "rejected";
const SHUTDOWN: &str = "shutdown";

/// Made by [`count_from_zero`], which is after the meters are installed.
static DROPPED: LazyLock<Counter<u64>> =
    LazyLock::new(|| SPANS_DROPPED.counter(&global::meter("coffeeshop.telemetry")));

/// A series that begins with its first burst has not increased by it: each begins at 0.
pub(super) fn count_from_zero() {
    for reason in [QUEUE_FULL, EXPORT_FAILED, REJECTED, SHUTDOWN] {
        count(0, reason);
    }
}

fn count(spans: u64, reason: &'static str) {
    DROPPED.add(spans, &[KeyValue::new(ERROR_TYPE, reason)]);
}

fn widen(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}

/// What both ends of the queue know.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Spans in the queue.
    waiting: AtomicUsize,
    /// Spans of the batch that is on its way. Whoever takes them out counts them.
    in_hand: AtomicUsize,
    /// The last flush is over: what it left is counted.
    given_up: AtomicBool,
    /// Spans dropped because it was full.
    queue_full: AtomicU64,
    /// Spans dropped because the collector did not take them.
    export_failed: AtomicU64,
    /// Spans that the collector rejected of batches that it took.
    rejected: AtomicU64,
    /// Spans dropped because the last flush ran out of time.
    shutdown: AtomicU64,
}

impl Ledger {
    pub(super) fn dropped(&self) -> u64 {
        let sent = [&self.export_failed, &self.rejected];
        let unsent = [&self.queue_full, &self.shutdown];
        let spans = sent.into_iter().chain(unsent);
        spans.map(|spans| spans.load(Relaxed)).sum()
    }

    /// Counts spans of the batch that is on its way. Its end says so, if that is new.
    pub(super) fn reject(&self, spans: u64) {
        self.rejected.fetch_add(spans, Relaxed);
        count(spans, REJECTED);
    }

    /// After the last flush: counts what is neither sent nor dropped, and says how many these are.
    /// A batch that is on its way is among them, though it may yet arrive.
    pub(super) fn give_up(&self) -> u64 {
        self.given_up.store(true, Relaxed);
        let left = self.waiting.swap(0, Relaxed) + self.in_hand.swap(0, Relaxed);
        let left = widen(left);
        self.shutdown.fetch_add(left, Relaxed);
        count(left, SHUTDOWN);
        left
    }
}

/// Before the queue: lets in what has room there.
#[derive(Debug)]
pub(super) struct Admission<P> {
    queue: P,
    room: usize,
    ledger: Arc<Ledger>,
}

impl<P> Admission<P> {
    pub(super) fn new(queue: P, room: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            queue,
            room,
            ledger,
        }
    }
}

impl<P: SpanProcessor> SpanProcessor for Admission<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.ledger.waiting.fetch_add(1, Relaxed) < self.room {
            return self.queue.on_end(span);
        }
        self.ledger.waiting.fetch_sub(1, Relaxed);
        self.ledger.queue_full.fetch_add(1, Relaxed);
        // No line here: a span ends wherever it likes, also within the logger.
        count(1, QUEUE_FULL);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Behind the queue: sees what becomes of each batch.
#[derive(Debug)]
pub(super) struct Watched<E> {
    exporter: E,
    ledger: Arc<Ledger>,
    /// What was dropped when that was last looked at.
    seen: AtomicU64,
    dropping: AtomicBool,
}

impl<E> Watched<E> {
    pub(super) fn new(exporter: E, ledger: Arc<Ledger>) -> Self {
        Self {
            exporter,
            ledger,
            seen: AtomicU64::new(0),
            dropping: AtomicBool::new(false),
        }
    }

    /// Counts what the collector did not take. Says when that begins, and when a batch has
    /// arrived since anything was dropped.
    fn note(&self, spans: usize, taken: bool) {
        if !taken {
            let spans = widen(spans);
            self.ledger.export_failed.fetch_add(spans, Relaxed);
            count(spans, EXPORT_FAILED);
        }
        let dropped = self.ledger.dropped();
        let dropping = self.seen.swap(dropped, Relaxed) < dropped;
        match (self.dropping.swap(dropping, Relaxed), dropping) {
            (false, true) => {
                let queue_full = self.ledger.queue_full.load(Relaxed);
                tracing::warn!(
                    dropped,
                    queue_full,
                    "spans are dropped: the collector does not take them, or not fast enough"
                );
            }
            (true, false) => tracing::info!(dropped, "spans arrive at the collector again"),
            _ => {}
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    /// Called by one thread, and for one batch at a time.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.ledger.given_up.load(Relaxed) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        // They have left the queue, whatever becomes of them.
        self.ledger.in_hand.store(batch.len(), Relaxed);
        self.ledger.waiting.fetch_sub(batch.len(), Relaxed);
        let exported = self.exporter.export(batch).await;
        let spans = self.ledger.in_hand.swap(0, Relaxed);
        self.note(spans, exported.is_ok());
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests;
