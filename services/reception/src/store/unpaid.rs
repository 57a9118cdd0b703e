//! Orders whose time to pay is over.

use crate::order::OrderId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// Lists orders that were placed at `until` or before and still wait to be paid, the oldest
/// first, each with its trace. It locks none: where they stand when they are changed is seen
/// then.
///
/// # Errors
/// What the database answers.
pub async fn list(
    conn: &mut PgConnection,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<(OrderId, TraceContext)>> {
    // The id finds them in an index that is there anyway, and costs no order a write. It is
    // stamped a moment after the time that counts, so it finds none too early.
    let rows = sqlx::query(
        "select order_id, traceparent, tracestate from orders \
         where state = 'AWAITING_PAYMENT' and order_id < $1 and create_time <= $2 \
         order by order_id limit $3",
    )
    .bind(first_id(until))
    .bind(until)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("order_id")?, super::trace(row)?)))
        .collect()
}

/// The smallest id that an order can have that is stamped at this time.
fn first_id(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_time_is_above_all_earlier_ones_and_below_all_later_ones() {
        let time = DateTime::from_timestamp_millis(1_800_000_000_123).expect("it is a time");
        let id = |millis| uuid::Builder::from_unix_timestamp_millis(millis, &[0xff; 10]);
        assert!(id(1_800_000_000_122).into_uuid() < first_id(time));
        assert!(first_id(time) < id(1_800_000_000_123).into_uuid());
        assert_eq!(
            first_id(DateTime::<Utc>::MIN_UTC),
            first_id(DateTime::UNIX_EPOCH)
        );
    }
}
