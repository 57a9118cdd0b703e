//! Spans as services exported them, and the tree that those of one order should be.
//!
//! Guarantee: [`Tree::connected`] says yes only if the spans are one trace with one root, and every
//! other span's parent is among them.
//! Not guaranteed: that nothing is missing. A span that has not ended yet, or was dropped, is not
//! here, and unless it had children nobody can tell.

/// One span, in words instead of bytes.
mod span;
/// Who caused what.
mod tree;
/// Where an order did not move, and for what it waited.
mod waits;

pub use span::{Event, Kind, Link, Span, SpanId, TraceId};
pub use tree::{Row, Torn, Tree};
pub use waits::{Wait, is_taken_over, waits};

#[cfg(test)]
mod tests;
