//! Orders whose time to pay is over.

use crate::order::OrderId;
use sqlx::{PgConnection, Row as _};
use std::time::Duration;
use telemetry::propagation::TraceContext;

/// Lists orders that were stored at least `window` ago and still wait to be paid, the oldest
/// first, each with its trace. It locks none: where they stand when they are changed is seen
/// then.
///
/// # Errors
/// What the database answers.
pub async fn list(
    conn: &mut PgConnection,
    window: Duration,
    limit: i64,
) -> sqlx::Result<Vec<(OrderId, TraceContext)>> {
    // Both ends are the database's time. An instance whose clock is wrong would end orders before
    // their time: its own, or everybody's.
    let rows = sqlx::query(
        "select order_id, traceparent, tracestate from orders \
         where state = 'AWAITING_PAYMENT' and store_time <= now() - interval '1 second' * $1 \
         order by store_time limit $2",
    )
    .bind(window.as_secs_f64())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("order_id")?, super::trace(row)?)))
        .collect()
}
