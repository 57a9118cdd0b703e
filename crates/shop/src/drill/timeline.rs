//! What changes in the course of a run: orders in and out, waits, outboxes, the circuit.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::{traced::Traced, watching::Sample};
use crate::{
    history::{Call, Outcome},
    traces::TraceId,
};

/// What is counted together: half a second.
const BIN_US: u64 = 500_000;

/// An order, from placed to over. Microseconds since the history began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Story {
    pub(crate) order_id: Uuid,
    pub(crate) state: String,
    pub(crate) placed_us: u64,
    pub(crate) over_us: Option<u64>,
    /// The states it went through: when, and which.
    pub(crate) path: Vec<(u64, String)>,
    /// Absent if it was not traced.
    #[serde(skip)]
    pub(super) trace: Option<TraceId>,
    /// Its trace, if the order is shown.
    #[serde(default)]
    pub(crate) traced: Option<Traced>,
}

/// One point of each line, at the middle of its half second; microseconds since the history began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bin {
    pub(crate) at_us: u64,
    /// Orders acknowledged a second.
    pub(crate) placed: f64,
    /// Orders that became READY a second.
    pub(crate) ready: f64,
    /// Calls a second that were not answered OK.
    pub(crate) not_ok: f64,
    /// What customers who were to come in this time waited for OK; none if none came.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// The whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// When the first customer was to come.
    pub(crate) begin_us: u64,
    /// When the last order was over.
    pub(crate) end_us: u64,
    pub(crate) bins: Vec<Bin>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(sqlx::FromRow)]
struct Row {
    order_id: Uuid,
    state: String,
    create_time: DateTime<Utc>,
    over_time: Option<DateTime<Utc>>,
    times: Vec<DateTime<Utc>>,
    states: Vec<String>,
    traceparent: Option<String>,
}

impl Story {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state.as_str(), "READY" | "COLLECTED")
    }

    /// From placed to over.
    pub(crate) fn lasted_us(&self) -> Option<u64> {
        Some(self.over_us?.saturating_sub(self.placed_us))
    }
}

/// Every order, as reception stored it.
pub(super) async fn stories(reception: &PgPool, began: DateTime<Utc>) -> Result<Vec<Story>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select o.order_id, o.state, o.create_time, \
             case when o.state in ('AWAITING_PAYMENT', 'PAID', 'PREPARING') then null \
                  else coalesce(o.ready_time, o.update_time) end as over_time, \
             array_agg(h.time order by h.revision) as times, \
             array_agg(h.state order by h.revision) as states, o.traceparent \
         from orders o join order_history h using (order_id) group by o.order_id \
         order by o.order_id",
    )
    .fetch_all(reception)
    .await?;
    let since = |time: DateTime<Utc>| {
        let since = (time - began).num_microseconds().unwrap_or(0);
        u64::try_from(since).unwrap_or(0)
    };
    let story = |row: Row| Story {
        order_id: row.order_id,
        state: row.state,
        placed_us: since(row.create_time),
        over_us: row.over_time.map(since),
        path: row.times.into_iter().map(since).zip(row.states).collect(),
        trace: row.traceparent.as_deref().and_then(TraceId::of_context),
        traced: None,
    };
    Ok(rows.into_iter().map(story).collect())
}

impl Timeline {
    pub(super) fn new(calls: &[Call], stories: &[Story], samples: Vec<Sample>) -> Self {
        let answered = calls.iter().filter_map(|call| call.answer.as_ref());
        let answered = answered.map(|answer| answer.answered_us);
        let over = stories.iter().filter_map(|story| story.over_us);
        let end = answered.chain(over).max().unwrap_or(0);
        let begin = calls.iter().map(|call| call.came_us).min().unwrap_or(0);
        let bins = (begin / BIN_US..=end / BIN_US).map(|bin| Bin::new(bin, calls, stories));
        let during = |sample: &Sample| (begin..=end).contains(&sample.at_us);
        Self {
            begin_us: begin,
            end_us: end,
            bins: bins.collect(),
            samples: samples.into_iter().filter(during).collect(),
        }
    }
}

impl Bin {
    fn new(bin: u64, calls: &[Call], stories: &[Story]) -> Self {
        let inside = |time: u64| time / BIN_US == bin;
        let answers = || calls.iter().filter_map(|call| call.answer.as_ref());
        let answers = || answers().filter(|answer| inside(answer.answered_us));
        let placed = answers().filter(|a| a.outcome == Outcome::Ok).count();
        let not_ok = answers().count() - placed;
        let ready = stories.iter().filter(|story| story.is_ready());
        let ready = ready.filter(|s| s.over_us.is_some_and(inside)).count();
        let came = calls.iter().filter(|call| inside(call.came_us));
        let ok = came.filter(|call| call.outcome() == Outcome::Ok);
        let mut waited: Vec<f64> = ok
            .filter_map(Call::waited)
            .map(|waited| waited.as_secs_f64() * 1_000.0)
            .collect();
        waited.sort_unstable_by(f64::total_cmp);
        let quantile = |percent| (!waited.is_empty()).then(|| quantile(&waited, percent));
        Self {
            at_us: bin * BIN_US + BIN_US / 2,
            placed: a_second(placed),
            ready: a_second(ready),
            not_ok: a_second(not_ok),
            p50_ms: quantile(50),
            p99_ms: quantile(99),
        }
    }
}

/// What so many in a hundred do not exceed, of what is sorted; 0 of nothing.
pub(super) fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0.0)
}

/// Microseconds as seconds.
pub(super) fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn a_second(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds(BIN_US)
}
