//! Reading, locking and revising tickets.

use super::column;
use crate::{
    announce,
    ticket::{Event, Ticket, Transition},
};
use chrono::{DateTime, SubsecRound as _, Utc};
use messaging::outbox;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::collections::BTreeMap;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// Tickets by order id, locked until the transaction ends.
pub(super) type Locked = BTreeMap<Uuid, Ticket>;

/// Locks tickets. Unknown ids are left out.
pub(super) async fn lock(conn: &mut PgConnection, order_ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "select order_id, state, revision, drinks_total, drinks_made, fail_reason, traceparent, \
             tracestate \
         from tickets where order_id = any($1) order by order_id for update",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| ticket(row).map(|ticket| (ticket.order_id, ticket)))
        .collect()
}

/// Locks tickets and returns, by order id, the last revision of their orders that was
/// applied. Orders without a ticket are left out.
pub async fn lock_order_revisions(
    conn: &mut PgConnection,
    order_ids: &[Uuid],
) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(
        "select order_id, order_revision from tickets \
         where order_id = any($1) order by order_id for update",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await
}

/// A ticket from a row that holds its columns.
pub(super) fn ticket(row: &PgRow) -> sqlx::Result<Ticket> {
    let state: &str = row.try_get("state")?;
    Ok(Ticket {
        order_id: row.try_get("order_id")?,
        state: state
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        revision: row.try_get("revision")?,
        drinks_total: row.try_get("drinks_total")?,
        drinks_made: row.try_get("drinks_made")?,
        fail_reason: row.try_get("fail_reason")?,
        trace: TraceContext {
            traceparent: row.try_get("traceparent")?,
            tracestate: row.try_get("tracestate")?,
        },
    })
}

/// Lets the same event happen to the ticket of each drink, and writes down what came
/// of it.
pub(super) async fn advance(
    conn: &mut PgConnection,
    mut locked: Locked,
    event: Event,
    drinks: impl Iterator<Item = Uuid>,
) -> sqlx::Result<()> {
    let mut changed = Locked::new();
    let mut revisions = Vec::new();
    for order_id in drinks {
        let Some(before) = changed
            .remove(&order_id)
            .or_else(|| locked.remove(&order_id))
        else {
            continue;
        };
        let after = match before.clone().apply(event.clone()) {
            Transition::Applied(after) => {
                revisions.push(after.clone());
                after
            }
            Transition::Absorbed(after, _) => after,
            // The drink is what it is; only its ticket stays behind. To fail here would
            // hold up every other order for ever.
            Transition::Refused(illegal) => {
                tracing::error!(error = %illegal, order.id = %order_id, "ticket not changed");
                before
            }
        };
        changed.insert(order_id, after);
    }
    let changed: Vec<Ticket> = changed.into_values().collect();
    write(conn, &changed, &revisions).await
}

async fn write(
    conn: &mut PgConnection,
    changed: &[Ticket],
    revisions: &[Ticket],
) -> sqlx::Result<()> {
    let now = now();
    update(conn, changed, revisions, now).await?;
    announce(conn, revisions, now).await
}

/// The time in whole microseconds, as Postgres keeps it: an event and its history entry
/// say the same.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// One statement for both tables: a round trip less in the loop that brews.
async fn update(
    conn: &mut PgConnection,
    changed: &[Ticket],
    revisions: &[Ticket],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "with history as ( \
             insert into ticket_history (order_id, revision, state, time) \
             select *, $8 from unnest($5::uuid[], $6::bigint[], $7::text[])) \
         update tickets t set state = c.state, revision = c.revision, \
             drinks_made = c.drinks_made, fail_reason = c.fail_reason, update_time = $8 \
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $9::text[]) \
             as c (order_id, state, revision, drinks_made, fail_reason) \
         where t.order_id = c.order_id",
    )
    .bind(column(changed, |t| t.order_id))
    .bind(column(changed, |t| t.state.as_str()))
    .bind(column(changed, |t| t.revision))
    .bind(column(changed, |t| t.drinks_made))
    .bind(column(revisions, |t| t.order_id))
    .bind(column(revisions, |t| t.revision))
    .bind(column(revisions, |t| t.state.as_str()))
    .bind(now)
    .bind(column(changed, |t| t.fail_reason.clone()))
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an event for each of these revisions.
pub(super) async fn announce(
    conn: &mut PgConnection,
    revisions: &[Ticket],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let events = column(revisions, |ticket| announce::revised(ticket, now));
    outbox::append(conn, &events).await
}
