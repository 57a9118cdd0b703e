//! The figures, side by side: a column for each mode, in a cell the middle one of the turns, and the
//! least and the most.

use std::fmt;

use super::{MODES, Mode, Run};

/// Width of a column.
const WIDTH: usize = 25;

/// All runs.
pub(super) struct Table<'a> {
    runs: &'a [Run],
    seconds: u64,
}

impl<'a> Table<'a> {
    pub(super) fn of(runs: &'a [Run], seconds: u64) -> Self {
        Self { runs, seconds }
    }

    fn of_mode(&self, mode: Mode) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.mode == mode)
    }

    /// Of each mode; a figure that a run has not is left out.
    fn spreads(&self, figure: impl Fn(&Run) -> Option<f64>) -> [Option<Spread>; MODES.len()] {
        MODES.map(|mode| Spread::of(self.of_mode(mode).filter_map(&figure).collect()))
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        (what, digits): (&str, usize),
        figure: impl Fn(&Run) -> Option<f64>,
    ) -> fmt::Result {
        let cell = |spread: Option<Spread>| {
            let Some(Spread {
                least,
                middle,
                most,
            }) = spread
            else {
                return "-".to_owned();
            };
            format!("{middle:.digits$} ({least:.digits$}…{most:.digits$})")
        };
        line(f, what, self.spreads(figure).map(cell))
    }

    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.spreads(|run| Some(run.load.cpu_seconds_per_1000_orders));
        let cell = |spread: Option<Spread>| match (spread, cpu[0]) {
            (Some(spread), Some(off)) => format!("{:.2}", spread.middle / off.middle),
            _ => "-".to_owned(),
        };
        line(f, "  ratio", cpu.map(cell))
    }

    fn dropped(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |mode: Mode| {
            let runs = self.of_mode(mode);
            let dropped: Option<u64> = runs.map(|run| run.spans_dropped).sum();
            dropped.map_or_else(|| "-".to_owned(), |spans| spans.to_string())
        };
        line(f, "spans dropped, in all", MODES.map(cell))
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, cells: [String; MODES.len()]) -> fmt::Result {
    write!(f, "\n{what:<30}")?;
    cells
        .iter()
        .try_for_each(|cell| write!(f, "{cell:>WIDTH$}"))
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (turns, seconds) = (self.runs.len() / MODES.len(), self.seconds);
        if let Some(Run { load, .. }) = self.runs.first() {
            let (clients, baristas) = (load.shop.clients, load.shop.baristas);
            let scale = load.shop.brew_scale;
            write!(
                f,
                "{clients} clients, {baristas} baristas, brew scale {scale}; "
            )?;
        }
        writeln!(
            f,
            "{turns} turns of {seconds} s each: the middle one (least…most)"
        )?;
        let name = |mode: Mode| match mode.traced {
            None => "no telemetry".to_owned(),
            Some(share) => format!("{} % wanted", 100.0 * share),
        };
        line(f, "", MODES.map(name))?;
        self.row(f, ("orders traced, %", 2), |run| {
            Some(100.0 * run.load.ready.traced)
        })?;
        self.row(f, ("orders placed and READY /s", 0), |run| {
            Some(run.load.ready_per_second)
        })?;
        self.row(f, ("PlaceOrder p99 ms", 1), |run| {
            Some(run.load.place_p99_ms)
        })?;
        self.row(f, ("CPU s/1,000 orders", 3), |run| {
            Some(run.load.cpu_seconds_per_1000_orders)
        })?;
        self.ratios(f)?;
        self.row(f, ("CPU s/1,000, receiver apart", 3), |run| {
            run.load.receiver_cpu_seconds_per_1000_orders
        })?;
        self.dropped(f)
    }
}

/// Of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    /// The median; of an even number the upper one.
    middle: f64,
    most: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self {
            least: *figures.first()?,
            middle: *figures.get(figures.len() / 2)?,
            most: *figures.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_turns_is_none_of_the_ends() {
        let spread = Spread::of(vec![9.0, 1.0, 2.0]);
        let (least, middle, most) = (1.0, 2.0, 9.0);
        assert_eq!(
            spread,
            Some(Spread {
                least,
                middle,
                most
            })
        );
        assert_eq!(Spread::of(Vec::new()), None, "no run has it");
    }
}
