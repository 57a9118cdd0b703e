//! The spans that services export in the course of a drill, by trace.
//!
//! Not guaranteed: those of a process that was killed before it had sent them. The trace of an order
//! that it had in hand is torn then, as it would be anywhere.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::traces::{Span, TraceId, Tree};

/// Enough for ten thousand orders and more. Of a longer run there are no trees: better none than
/// some that are torn because nobody kept their spans.
const KEPT: usize = 200_000;

/// Those that have arrived.
#[derive(Debug, Default)]
pub(crate) struct Spans(Mutex<Arrived>);

#[derive(Debug, Default)]
struct Arrived {
    count: usize,
    traces: HashMap<TraceId, Vec<Span>>,
}

impl Spans {
    /// How many have arrived, whether or not they are kept.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    /// Whether all that arrived are kept.
    pub(super) fn are_all_kept(&self) -> bool {
        self.count() <= KEPT
    }

    /// What has arrived of a trace.
    pub(super) fn tree(&self, trace: &TraceId) -> Tree {
        let arrived = self.lock();
        Tree::new(arrived.traces.get(trace).into_iter().flatten().cloned())
    }

    pub(super) fn take(&self, export: ExportTraceServiceRequest) {
        let mut arrived = self.lock();
        for span in Span::all(export) {
            arrived.count += 1;
            if arrived.count <= KEPT {
                let trace = arrived.traces.entry(span.trace_id.clone());
                trace.or_default().push(span);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
