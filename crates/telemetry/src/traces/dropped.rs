//! Counting the spans that no collector gets.
//!
//! Problem: a call never waits for tracing, so a span that finds the queue full is dropped, and
//! so is a batch that the collector does not take. The SDK does both in silence.
//! Guarantee: each of them is counted, in `coffeeshop.telemetry.spans.dropped`, and the log says
//! when it begins and when it is over, not once per span.
//! Not guaranteed: that what the collector took is kept there. Nor a count of what a process that
//! is killed had not sent.
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
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Made when the first span is dropped, which is after the meters are installed.
static DROPPED: LazyLock<Counter<u64>> =
    LazyLock::new(|| SPANS_DROPPED.counter(&global::meter("coffeeshop.telemetry")));

/// What both ends of the queue know.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Spans in the queue.
    waiting: AtomicUsize,
    /// Spans dropped because it was full.
    queue_full: AtomicU64,
    /// Spans dropped because the collector did not take them.
    export_failed: AtomicU64,
}

impl Ledger {
    /// Spans that are neither sent nor dropped.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.queue_full.load(Relaxed) + self.export_failed.load(Relaxed)
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
        DROPPED.add(1, &[KeyValue::new(ERROR_TYPE, "queue_full")]);
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
            let spans = u64::try_from(spans).unwrap_or(u64::MAX);
            self.ledger.export_failed.fetch_add(spans, Relaxed);
            DROPPED.add(spans, &[KeyValue::new(ERROR_TYPE, "export_failed")]);
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
        let spans = batch.len();
        // They have left the queue, whatever becomes of them.
        self.ledger.waiting.fetch_sub(spans, Relaxed);
        let exported = self.exporter.export(batch).await;
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
