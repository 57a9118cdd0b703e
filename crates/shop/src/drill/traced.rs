//! What became of orders, as their traces tell: is each one connected tree, and where did it wait?

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{spans::Spans, timeline::Story};
use crate::{
    trace::label,
    traces::{Row, Tree, Wait, waits},
};

/// Spans that are shown of one trace.
const SHOWN: usize = 40;

/// The traces of all orders.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Orders that are traced.
    pub(super) count: usize,
    /// Of these, those whose spans are not one connected tree.
    pub(super) torn: HashSet<Uuid>,
}

/// A trace as it is drawn. Times are in microseconds since the history began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traced {
    /// Why it is not one connected tree; nothing if it is.
    pub(crate) torn: Option<String>,
    pub(crate) begin_us: u64,
    pub(crate) end_us: u64,
    /// In the sequence of the drawing: each after its parent.
    pub(crate) spans: Vec<Drawn>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// A span of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub(crate) service: String,
    /// Its branch of the tree, its name, and what is to be said about it.
    pub(crate) label: String,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    /// Whether it failed.
    pub(crate) failed: bool,
    pub(crate) waited: Option<Waited>,
}

/// A time in which nothing was done for the order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// `in the outbox, for Kafka`
    pub(crate) what: String,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
}

impl Traces {
    /// None if not all spans were kept.
    pub(super) fn of(stories: &[Story], spans: &Spans) -> Option<Self> {
        let traced = stories.iter().filter_map(|story| {
            let trace = story.trace.as_ref()?;
            Some((story.order_id, spans.tree(trace)))
        });
        let mut traces = Self::default();
        for (order_id, tree) in traced {
            traces.count += 1;
            if tree.connected().is_err() {
                traces.torn.insert(order_id);
            }
        }
        spans.are_all_kept().then_some(traces)
    }

    /// How many are one connected tree.
    pub(super) fn whole(&self) -> usize {
        self.count - self.torn.len()
    }
}

impl Traced {
    /// A trace that anything has arrived of.
    pub(super) fn of(tree: &Tree, began: DateTime<Utc>) -> Option<Self> {
        let rows = tree.rows();
        let clock = Clock::since(began);
        let waits = waits(tree, &rows);
        let drawn = rows.iter().zip(&waits);
        let drawn = drawn.map(|(row, wait)| clock.drawn(row, wait.as_ref()));
        let starts = rows.iter().map(|row| row.span.start_unix_ns);
        let ends = rows.iter().map(|row| row.span.end_unix_ns);
        Some(Self {
            torn: tree.connected().err().map(|torn| torn.to_string()),
            begin_us: clock.us(starts.min()?),
            end_us: clock.us(ends.max()?),
            spans: drawn.take(SHOWN).collect(),
            more: rows.len().saturating_sub(SHOWN),
        })
    }
}

/// Services and the drill share the machine's clock.
struct Clock {
    began_unix_ns: u64,
}

impl Clock {
    fn since(began: DateTime<Utc>) -> Self {
        let nanos = began.timestamp_nanos_opt().unwrap_or(0);
        Self {
            began_unix_ns: u64::try_from(nanos).unwrap_or(0),
        }
    }

    fn us(&self, unix_ns: u64) -> u64 {
        unix_ns.saturating_sub(self.began_unix_ns) / 1_000
    }

    fn drawn(&self, row: &Row<'_>, wait: Option<&Wait>) -> Drawn {
        Drawn {
            service: row.span.service.clone(),
            label: label(row),
            from_us: self.us(row.span.start_unix_ns),
            until_us: self.us(row.span.end_unix_ns),
            failed: row.span.error.is_some(),
            waited: wait.map(|wait| Waited {
                what: wait.what.to_owned(),
                from_us: self.us(wait.from_unix_ns),
                until_us: self.us(wait.until_unix_ns),
            }),
        }
    }
}
