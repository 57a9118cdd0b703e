//! The spans of one trace, by who caused them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Span, SpanId};

/// Spans that should be one tree. They may be none, or torn: see [`Tree::connected`].
#[derive(Clone, Debug, Default)]
pub struct Tree {
    spans: BTreeMap<SpanId, Span>,
}

/// Why spans are not one connected tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Torn {
    /// Nothing was recorded, or nothing has arrived.
    #[error("there is no span")]
    Empty,
    /// Not one trace.
    #[error("the spans are of {0} traces")]
    Traces(usize),
    /// Names of spans that say they were caused by one that is not here.
    #[error("the parent is missing of {}", .0.join(", "))]
    Orphans(Vec<String>),
    /// Names of spans that nothing caused.
    #[error("there is not one root, but {}: {}", .0.len(), .0.join(", "))]
    Roots(Vec<String>),
}

/// A span at its place in the tree.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The span.
    pub span: &'a Span,
    /// For each level above, from the root's children on: whether it is the last there.
    pub last: Vec<bool>,
    /// It names a parent that is not here.
    pub orphan: bool,
}

impl Tree {
    /// Of these spans. One that was exported twice counts once.
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Self {
        let by_id = spans.into_iter().map(|span| (span.span_id.clone(), span));
        Self {
            spans: by_id.collect(),
        }
    }

    /// Whether it is one tree: one trace, one root, every parent present.
    pub fn connected(&self) -> Result<(), Torn> {
        let traces: BTreeSet<_> = self.spans.values().map(|span| &span.trace_id).collect();
        let names = |spans: Vec<&Span>| spans.iter().map(|span| span.name.clone()).collect();
        let (roots, orphans): (Vec<&Span>, Vec<&Span>) = self
            .tops()
            .into_iter()
            .partition(|span| span.parent.is_none());
        match (traces.len(), roots.len()) {
            (0, _) => Err(Torn::Empty),
            (2.., _) => Err(Torn::Traces(traces.len())),
            _ if !orphans.is_empty() => Err(Torn::Orphans(names(orphans))),
            (_, 1) => Ok(()),
            _ => Err(Torn::Roots(names(roots))),
        }
    }

    /// Every span, each after its parent, and siblings by their start.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::with_capacity(self.spans.len());
        for top in self.tops() {
            self.descend(top, Vec::new(), &mut rows);
        }
        rows
    }

    fn descend<'a>(&'a self, span: &'a Span, last: Vec<bool>, rows: &mut Vec<Row<'a>>) {
        let children = self.children(&span.span_id);
        let lasts = (1..=children.len()).map(|nth| nth == children.len());
        let below: Vec<Vec<bool>> = lasts.map(|is| [&last[..], &[is]].concat()).collect();
        rows.push(Row {
            orphan: last.is_empty() && span.parent.is_some(),
            span,
            last,
        });
        for (child, last) in children.into_iter().zip(below) {
            self.descend(child, last, rows);
        }
    }

    /// Spans without a parent here.
    fn tops(&self) -> Vec<&Span> {
        let is_here = |parent: &SpanId| self.spans.contains_key(parent);
        self.by_start(|span| !span.parent.as_ref().is_some_and(is_here))
    }

    /// What this span caused.
    pub fn children(&self, of: &SpanId) -> Vec<&Span> {
        self.by_start(|span| span.parent.as_ref() == Some(of))
    }

    fn by_start(&self, wanted: impl Fn(&Span) -> bool) -> Vec<&Span> {
        let mut spans: Vec<&Span> = self.spans.values().filter(|span| wanted(span)).collect();
        spans.sort_by_key(|span| (span.start_unix_ns, span.end_unix_ns));
        spans
    }

    /// A span by its id.
    pub fn get(&self, id: &SpanId) -> Option<&Span> {
        self.spans.get(id)
    }

    /// All spans, by their start.
    pub fn spans(&self) -> Vec<&Span> {
        self.by_start(|_| true)
    }

    /// The short names of all spans, by their start.
    pub fn names(&self) -> Vec<&str> {
        self.spans().into_iter().map(Span::short_name).collect()
    }

    /// The path to each span from its root: `PlaceOrder > Charge`. In the order of [`Tree::rows`].
    pub fn paths(&self) -> Vec<String> {
        let mut above: Vec<&str> = Vec::new();
        let rows = self.rows().into_iter();
        rows.map(|row| {
            above.truncate(row.last.len());
            above.push(row.span.short_name());
            above.join(" > ")
        })
        .collect()
    }

    /// Spans with this short name, by their start.
    pub fn named(&self, name: &str) -> Vec<&Span> {
        self.by_start(|span| span.short_name() == name)
    }
}
