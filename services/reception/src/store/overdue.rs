//! Paid orders of which nothing is heard.

use super::order;
use crate::order::Order;
use sqlx::{PgConnection, postgres::PgRow};
use std::time::Duration;
use telemetry::propagation::TraceContext;

/// An order that is to be made, and of which nothing was heard for a while.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The order, without its history.
    pub order: Order,
    /// The order's trace.
    pub trace: TraceContext,
}

/// Takes orders of which nothing was heard for `after`, the longest silence first, and
/// locks them until the transaction ends.
///
/// Each is put off for as long as it has been silent already, at most for `longest`:
/// so the pauses double, without a counter that a change would have to reset. It is
/// the new time that takes them away from other instances.
///
/// # Errors
/// What the database answers, or a stored value that this version does not know.
pub async fn claim(
    conn: &mut PgConnection,
    limit: i64,
    after: Duration,
    longest: Duration,
) -> sqlx::Result<Vec<Overdue>> {
    let rows = sqlx::query(concat!(
        "update orders set silent_time = now() - interval '1 second' * $2 \
             + least(now() - update_time, interval '1 second' * $3) \
         where order_id in ( \
             select order_id from orders \
             where state in ('PAID', 'PREPARING') \
               and greatest(update_time, silent_time) <= now() - interval '1 second' * $2 \
             order by greatest(update_time, silent_time) limit $1 for update skip locked) \
         returning traceparent, tracestate, ",
        columns!()
    ))
    .bind(limit)
    .bind(after.as_secs_f64())
    .bind(longest.max(after).as_secs_f64())
    .fetch_all(conn)
    .await?;
    rows.iter().map(overdue).collect()
}

fn overdue(row: &PgRow) -> sqlx::Result<Overdue> {
    Ok(Overdue {
        order: order(row)?,
        trace: super::trace(row)?,
    })
}
