//! Beside the figures of another run.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What of a run is compared; named as in its JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Figures {
    pub(super) shop: Stored,
    pub(super) ready_per_second: f64,
    pub(super) place_p99_ms: f64,
    pub(super) cpu_seconds_per_1000_orders: f64,
}

/// What tells two runs apart.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) stored_orders: i64,
}

/// The other run first.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    pub(super) other: &'a Figures,
    pub(super) own: Figures,
}

/// Reads what `--json` wrote.
pub(super) fn read(path: &Path) -> Result<Figures> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} does not hold the figures of a run", path.display()))
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (other, own) = (self.other, &self.own);
        let (before, after) = (other.shop.stored_orders, own.shop.stored_orders);
        let ratio = "ratio";
        write!(
            f,
            "{:<28}{before:>14}{after:>14}{ratio:>10}",
            "orders stored before"
        )?;
        let mut row = |what, figure: fn(&Figures) -> f64, digits: usize| {
            let (before, after) = (figure(other), figure(own));
            let ratio = after / before;
            write!(
                f,
                "\n{what:<28}{before:>14.digits$}{after:>14.digits$}{ratio:>10.2}"
            )
        };
        row("orders placed and READY /s", |of| of.ready_per_second, 0)?;
        row("PlaceOrder p99 ms", |of| of.place_p99_ms, 1)?;
        row("CPU s/1,000 orders", |of| of.cpu_seconds_per_1000_orders, 3)
    }
}
