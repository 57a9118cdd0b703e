//! The figures, for people and for programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::{
    clients::Placed,
    compare::{Comparison, Figures, Stored},
    cost::Cost,
    rows::Ready,
};
use crate::part::Part;

/// What was loaded, and by how many.
#[derive(Debug, Serialize)]
pub(crate) struct Shop {
    pub(crate) clients: u32,
    /// Orders a second that were wanted, if they came at a rate.
    pub(super) rate: Option<u32>,
    pub(crate) baristas: i64,
    /// Factor on brew times.
    pub(crate) brew_scale: f64,
    /// "no telemetry", "1 % traced"
    pub(super) tracing: String,
    /// When the run began.
    pub(super) stored_orders: i64,
}

/// What this process is called among the parts.
pub(super) const OWN: &str = "load generator";

/// What a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) shop: Shop,
    /// For how long the clients ordered.
    ordering_seconds: f64,
    acknowledged: u64,
    errors: BTreeMap<&'static str, u64>,
    /// Acknowledged orders a second while the clients ordered.
    placed_per_second: f64,
    place_p50_ms: f64,
    pub(crate) place_p99_ms: f64,
    place_max_ms: f64,
    pub(crate) ready: Ready,
    /// From the first order placed to the last one READY.
    pub(crate) ready_per_second: f64,
    cost: Vec<Cost>,
    /// All parts of the shop, without the load generator and what takes the spans.
    pub(crate) cpu_seconds_per_1000_orders: f64,
    /// What takes the spans, if that is ours.
    pub(crate) receiver_cpu_seconds_per_1000_orders: Option<f64>,
    /// pgbench's inserts a second, one row per transaction.
    pub(super) yardstick_per_second: Option<f64>,
}

impl Report {
    pub(super) fn new(
        shop: Shop,
        ordering: Duration,
        placed: &Placed,
        ready: &Ready,
        cost: Vec<Cost>,
    ) -> Self {
        let quantile = |q| millis(placed.latency_us.value_at_quantile(q));
        let orders = float(placed.acknowledged.max(1));
        let ready_orders = float(u64::try_from(ready.orders).unwrap_or(0));
        let receiver = |cost: &&Cost| cost.part == Part::Telemetry.name();
        let parts = cost.iter().filter(|cost| cost.part != OWN);
        let cpu: f64 = parts
            .filter(|cost| !receiver(cost))
            .map(|cost| cost.cpu_seconds)
            .sum();
        let receiver = cost.iter().find(receiver);
        Self {
            shop,
            ordering_seconds: ordering.as_secs_f64(),
            acknowledged: placed.acknowledged,
            errors: placed.errors.clone(),
            placed_per_second: float(placed.acknowledged) / ordering.as_secs_f64(),
            place_p50_ms: quantile(0.50),
            place_p99_ms: quantile(0.99),
            place_max_ms: millis(placed.latency_us.max()),
            ready: ready.clone(),
            ready_per_second: ready_orders / ready.seconds.max(f64::EPSILON),
            cpu_seconds_per_1000_orders: 1_000.0 * cpu / orders,
            receiver_cpu_seconds_per_1000_orders: receiver
                .map(|cost| 1_000.0 * cost.cpu_seconds / orders),
            cost,
            yardstick_per_second: None,
        }
    }
}

impl Report {
    /// Beside another run.
    pub(super) fn against<'a>(&self, other: &'a Figures) -> Comparison<'a> {
        let own = Figures {
            shop: Stored {
                stored_orders: self.shop.stored_orders,
            },
            ready_per_second: self.ready_per_second,
            place_p99_ms: self.place_p99_ms,
            cpu_seconds_per_1000_orders: self.cpu_seconds_per_1000_orders,
        };
        Comparison { other, own }
    }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn millis(micros: u64) -> f64 {
    float(micros) / 1_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shop {
            clients,
            rate,
            baristas,
            brew_scale,
            tracing,
            stored_orders,
        } = &self.shop;
        if let Some(rate) = rate {
            writeln!(f, "{:<28}{rate:>10} /s", "orders wanted")?;
        }
        writeln!(
            f,
            "{clients} clients, {baristas} baristas, brew scale {brew_scale}, {tracing}, \
             {stored_orders} orders stored before"
        )?;
        writeln!(
            f,
            "{:<28}{:>10.0} /s",
            "orders placed", self.placed_per_second
        )?;
        writeln!(
            f,
            "{:<28}{:>10.0} /s",
            "orders placed and READY", self.ready_per_second
        )?;
        let (p50, p99, max) = (self.place_p50_ms, self.place_p99_ms, self.place_max_ms);
        writeln!(
            f,
            "{:<28}{p50:>10.1} ms p50 {p99:>10.1} ms p99 {max:>10.1} ms max",
            "PlaceOrder"
        )?;
        let (p50, p99) = (self.ready.p50_ms, self.ready.p99_ms);
        writeln!(
            f,
            "{:<28}{p50:>10.1} ms p50 {p99:>10.1} ms p99",
            "placed to READY"
        )?;
        if let Some(tps) = self.yardstick_per_second {
            writeln!(f, "{:<28}{tps:>10.0} /s", "pgbench, one INSERT each")?;
        }
        for (code, count) in &self.errors {
            writeln!(f, "{count} calls failed: {code}")?;
        }
        writeln!(
            f,
            "\n{:<16}{:>10}{:>20}{:>14}",
            "part", "CPU s", "CPU s/1,000 orders", "memory MiB"
        )?;
        for cost in &self.cost {
            let (cpu, per) = (
                cost.cpu_seconds,
                1_000.0 * cost.cpu_seconds / float(self.acknowledged.max(1)),
            );
            writeln!(
                f,
                "{:<16}{cpu:>10.2}{per:>20.3}{:>14.0}",
                cost.part, cost.memory_mib
            )?;
        }
        let per = self.cpu_seconds_per_1000_orders;
        writeln!(f, "{:<16}{:>10}{per:>20.3}", "the shop in all", "")?;
        match self.receiver_cpu_seconds_per_1000_orders {
            Some(_) => writeln!(f, "telemetry, which takes the spans, is not in it"),
            None => Ok(()),
        }
    }
}
