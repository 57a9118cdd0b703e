//! What waits in the outbox.

use crate::lease::interval;
use sqlx::PgConnection;
use std::time::Duration;

/// The parts of the outbox whose oldest unpublished event was written longer ago than `age`.
///
/// For those who would write an event again because nothing came of it: as long as the first
/// one waits here, the second would say nothing new.
///
/// # Errors
/// What the database answers.
pub async fn parts_behind(conn: &mut PgConnection, age: Duration) -> sqlx::Result<Vec<i16>> {
    sqlx::query_scalar(
        "select p.part from outbox_parts p cross join lateral ( \
             select create_time from outbox \
             where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) \
             order by xid, seq limit 1) as oldest \
         where oldest.create_time < now() - $1",
    )
    .bind(interval(age))
    .fetch_all(conn)
    .await
}
