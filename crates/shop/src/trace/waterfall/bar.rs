//! Bars: a cell stands for a stretch of the trace's time.

use crate::traces::{Span, Wait};

/// What a piece of a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Nothing,
    Wait,
    Work,
}

/// From the first span's start to the last one's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    begin_unix_ns: u64,
    end_unix_ns: u64,
    cells: usize,
}

impl Scale {
    pub(super) fn new<'a>(spans: impl Iterator<Item = &'a Span> + Clone, cells: usize) -> Self {
        let starts = spans.clone().map(|span| span.start_unix_ns);
        let ends = spans.map(|span| span.end_unix_ns);
        Self {
            begin_unix_ns: starts.min().unwrap_or_default(),
            end_unix_ns: ends.max().unwrap_or_default(),
            cells,
        }
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin_unix_ns
    }

    /// The cell in which this moment lies.
    fn cell(&self, unix_ns: u64) -> usize {
        let whole = u128::from(self.end_unix_ns - self.begin_unix_ns).max(1);
        let past =
            u128::from(unix_ns.clamp(self.begin_unix_ns, self.end_unix_ns) - self.begin_unix_ns);
        let cells = u128::try_from(self.cells).unwrap_or(u128::MAX);
        let cell = usize::try_from(past * cells / whole).unwrap_or(self.cells);
        cell.min(self.cells - 1)
    }

    /// The bar of a span, from the left edge on.
    pub(super) fn bar(&self, span: &Span, wait: Option<&Wait>) -> Vec<(Piece, String)> {
        let [first, last] = [span.start_unix_ns, span.end_unix_ns].map(|at| self.cell(at));
        // A send waits as long as it lasts; what else waits does so before it begins.
        let all_wait = wait.is_some_and(|wait| wait.until_unix_ns == span.end_unix_ns);
        let before = wait.filter(|_| !all_wait);
        let waits_from = before.map_or(first, |wait| self.cell(wait.from_unix_ns).min(first));
        let piece = if all_wait { Piece::Wait } else { Piece::Work };
        let cell = match piece {
            _ if first == last => "▎",
            Piece::Wait => "▒",
            _ => "█",
        };
        vec![
            (Piece::Nothing, " ".repeat(waits_from)),
            (Piece::Wait, "·".repeat(first - waits_from)),
            (piece, cell.repeat(last + 1 - first)),
        ]
    }
}
