//! Telling again where tickets stand.

use super::tickets;
use crate::announce;
use messaging::{event::Event, outbox};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Writes an event for each of these tickets: the revision that it has, with a new event
/// id. Who has heard of that revision absorbs it. The caller has locked the tickets.
pub async fn tell_again(conn: &mut PgConnection, order_ids: &BTreeSet<Uuid>) -> sqlx::Result<()> {
    if order_ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "select order_id, state, revision, drinks_total, drinks_made, fail_reason, \
             cancel_refused, traceparent, tracestate, update_time \
         from tickets where order_id = any($1)",
    )
    .bind(order_ids.iter().copied().collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let events: Vec<Event> = rows.iter().map(as_it_stands).collect::<sqlx::Result<_>>()?;
    outbox::append(conn, &events).await
}

fn as_it_stands(row: &PgRow) -> sqlx::Result<Event> {
    let ticket = tickets::ticket(row)?;
    Ok(announce::stands(&ticket, row.try_get("update_time")?))
}
