//! What the orders' rows say afterwards.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Between two looks at what is not READY: they count rows on the server that is measured.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The READY orders of a run.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub(crate) struct Ready {
    /// How many.
    pub(super) orders: i64,
    /// From the first order placed to the last one READY.
    pub(super) seconds: f64,
    /// Milliseconds from placed to READY: median.
    pub(super) p50_ms: f64,
    /// 99th percentile.
    pub(super) p99_ms: f64,
    /// Share of them whose trace is recorded, by what their rows carry on.
    pub(crate) traced: f64,
}

/// Hires baristas who can make anything: rows in the barista's own table.
pub(crate) async fn hire(barista: &PgPool, count: i32) -> Result<()> {
    sqlx::query(
        "insert into baristas (barista_id, display_name, skills) \
         select 'hired-' || n, 'Hired ' || n, (select array_agg(distinct skill) from recipes) \
         from generate_series(1, $1) as n on conflict do nothing",
    )
    .bind(count)
    .execute(barista)
    .await?;
    Ok(())
}

/// How many baristas there are.
pub(super) async fn baristas(barista: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select count(*) from baristas")
        .fetch_one(barista)
        .await?)
}

/// Waits until no order is on its way any more, and no refund.
pub(super) async fn until_ready(reception: &PgPool, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let unfinished: i64 = sqlx::query_scalar(
            // Two questions, each of an index of its own: there may be millions of orders.
            "select (select count(*) from orders \
                     where state in ('AWAITING_PAYMENT', 'PAID', 'PREPARING')) \
                  + (select count(*) from orders where refund_state = 'PENDING')",
        )
        .fetch_one(reception)
        .await?;
        match unfinished {
            0 => return Ok(()),
            n if Instant::now() > deadline => {
                bail!("{n} orders or refunds are still on their way after {patience:?}")
            }
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

/// How many orders there are.
pub(super) async fn stored(reception: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select count(*) from orders")
        .fetch_one(reception)
        .await?)
}

/// The least id that an order placed at or after a time can have: it begins with the milliseconds.
pub(super) fn first_id(begin: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(begin.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The orders from this id on. Asked by id, and not by time: that has an index, and there may be
/// millions of others.
pub(super) async fn ready_from(reception: &PgPool, first: Uuid) -> Result<Ready> {
    let ready = sqlx::query_as(
        "select count(*) as orders, \
                coalesce(extract(epoch from max(ready_time) - min(create_time)), 0)::float8 as seconds, \
                coalesce(percentile_cont(0.50) within group (order by wait), 0) as p50_ms, \
                coalesce(percentile_cont(0.99) within group (order by wait), 0) as p99_ms, \
                coalesce(avg((traceparent ~ '[13579bdf]$')::int), 0)::float8 as traced \
         from (select create_time, ready_time, traceparent, \
                      1000 * extract(epoch from ready_time - create_time)::float8 as wait \
               from orders where state = 'READY' and order_id >= $1) as o",
    )
    .bind(first)
    .fetch_one(reception)
    .await?;
    Ok(ready)
}
