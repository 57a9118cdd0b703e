//! The figures, for people and for programs.

use std::{collections::BTreeMap, fmt};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    load::{self, cost::Cost, millis},
    part::Part,
};

/// What this process is called among the parts.
pub(super) const OWN: &str = "watchers";

/// What was measured. Pairs are without watchers, and with them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) watchers: u32,
    pub(super) connections: u32,
    /// Until all watched.
    pub(super) opening_seconds: f64,
    /// Just before they came, and when all watched.
    pub(super) reception_mib: [f64; 2],
    pub(super) idle_seconds: u64,
    pub(super) idle: [Vec<Cost>; 2],
    /// Heard by all while the shop was idle.
    pub(super) heartbeats: u64,
    pub(super) ordered: [Ordered; 2],
    /// From asking to collect an order to its watcher.
    pub(super) change_us: Latency,
    pub(super) restart: Restart,
}

/// How others were served.
#[derive(Debug, Serialize)]
pub(super) struct Ordered {
    ready_per_second: f64,
    place_p99_ms: f64,
    cpu_seconds_per_1000_orders: f64,
}

impl Ordered {
    pub(super) fn of(load: &load::Report) -> Self {
        Self {
            ready_per_second: load.ready_per_second,
            place_p99_ms: load.place_p99_ms,
            cpu_seconds_per_1000_orders: load.cpu_seconds_per_1000_orders,
        }
    }
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    count: u64,
    p50: u64,
    p99: u64,
    max: u64,
}

impl From<Histogram<u64>> for Latency {
    fn from(took: Histogram<u64>) -> Self {
        Self {
            count: took.len(),
            p50: took.value_at_quantile(0.50),
            p99: took.value_at_quantile(0.99),
            max: took.max(),
        }
    }
}

/// Reception, stopped and started under all of them.
#[derive(Debug, Serialize)]
pub(super) struct Restart {
    /// From the signal to its end.
    pub(super) stop_seconds: f64,
    /// From the signal until it was ready again.
    pub(super) ready_seconds: f64,
    /// From then until all watched again.
    pub(super) all_watch_seconds: f64,
    /// Streams that it did not open meanwhile.
    pub(super) refused: u64,
    /// Orders that it acknowledged meanwhile, and the longest that one took.
    pub(super) placed: u64,
    pub(super) place_max_ms: f64,
    /// What else it answered to customers meanwhile.
    pub(super) errors: BTreeMap<&'static str, u64>,
}

impl Report {
    fn kib_per_watcher(&self) -> f64 {
        let [before, after] = self.reception_mib;
        (after - before) * 1024.0 / f64::from(self.watchers)
    }

    /// CPU seconds a minute of a part that is left alone.
    fn idle_cpu(&self, part: &str) -> [f64; 2] {
        let minutes = f64::from(u32::try_from(self.idle_seconds).unwrap_or(u32::MAX)) / 60.0;
        self.idle.each_ref().map(|costs| {
            let cost = costs.iter().find(|cost| cost.part == part);
            cost.map_or(0.0, |cost| cost.cpu_seconds) / minutes
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (watchers, connections) = (self.watchers, self.connections);
        writeln!(
            f,
            "{watchers} watchers over {connections} connections, each of an order that is READY"
        )?;
        let opening = self.opening_seconds;
        writeln!(f, "{:<34}{opening:>10.1} s", "all watch after")?;
        let each = self.kib_per_watcher();
        writeln!(f, "{:<34}{each:>10.1} KiB", "memory of reception, each")?;
        let [p50, p99] = [self.change_us.p50, self.change_us.p99].map(millis);
        writeln!(
            f,
            "{:<34}{p50:>10.1} ms p50 {p99:>10.1} ms p99",
            "collected, until its watcher hears"
        )?;
        writeln!(f, "\n{:<34}{:>14}{:>14}", "", "without them", "with them")?;
        let pair = |f: &mut fmt::Formatter<'_>, what: &str, [without, with]: [f64; 2], digits| {
            writeln!(f, "{what:<34}{without:>14.digits$}{with:>14.digits$}")
        };
        pair(f, "reception, memory MiB", self.reception_mib, 0)?;
        for part in [Part::Reception.name(), Part::Postgres.name()] {
            let what = format!("{part}, idle, CPU s a minute");
            pair(f, &what, self.idle_cpu(part), 2)?;
        }
        let ordered = |figure: fn(&Ordered) -> f64| self.ordered.each_ref().map(figure);
        pair(
            f,
            "orders placed and READY /s",
            ordered(|load| load.ready_per_second),
            0,
        )?;
        pair(f, "PlaceOrder p99 ms", ordered(|load| load.place_p99_ms), 1)?;
        pair(
            f,
            "CPU s/1,000 orders",
            ordered(|load| load.cpu_seconds_per_1000_orders),
            3,
        )?;
        write!(f, "\n{}", self.restart)
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stop, ready) = (self.stop_seconds, self.ready_seconds);
        writeln!(f, "{:<34}{stop:>10.1} s", "reception stopped")?;
        writeln!(f, "{:<34}{ready:>10.1} s", "ready again")?;
        let (all, refused) = (self.all_watch_seconds, self.refused);
        writeln!(
            f,
            "{:<34}{all:>10.1} s after that, {refused} streams refused",
            "all watch again"
        )?;
        let (placed, slowest) = (self.placed, self.place_max_ms);
        write!(
            f,
            "{:<34}{placed:>10}, {slowest:.1} ms at most",
            "orders placed meanwhile"
        )?;
        for (code, count) in &self.errors {
            write!(f, "\n{count} calls failed: {code}")?;
        }
        Ok(())
    }
}
