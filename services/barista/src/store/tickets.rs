//! Reading, locking and revising tickets.

use super::column;
use crate::{
    announce,
    ticket::{Event, Ticket, Transition},
};
use chrono::{DateTime, SubsecRound as _, Utc};
use messaging::outbox;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// Tickets by order id, locked until the transaction ends.
pub(super) type Locked = BTreeMap<Uuid, Ticket>;

/// Locks tickets. Unknown ids are left out.
pub(super) async fn lock(conn: &mut PgConnection, order_ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "select order_id, state, revision, drinks_total, drinks_made, fail_reason, \
             cancel_refused, traceparent, tracestate \
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
        cancel_refused: row.try_get("cancel_refused")?,
        trace: TraceContext {
            traceparent: row.try_get("traceparent")?,
            tracestate: row.try_get("tracestate")?,
        },
    })
}

/// Lets events happen to tickets, in the given sequence, and writes down those that are
/// not as they were: what only absorbed an event keeps its time. Returns the new revisions.
pub(super) async fn advance(
    conn: &mut PgConnection,
    mut locked: Locked,
    happened: impl Iterator<Item = (Uuid, Event)>,
) -> sqlx::Result<Vec<Ticket>> {
    let now = now();
    let mut changed = BTreeSet::new();
    let (mut revisions, mut events) = (Vec::new(), Vec::new());
    for (order_id, event) in happened {
        let Some(before) = locked.remove(&order_id) else {
            continue;
        };
        let after = match before.clone().apply(event) {
            Transition::Applied(after) => {
                events.push(announce::changed(before.state, &after, now));
                revisions.push(after.clone());
                after
            }
            Transition::Absorbed(after, _) => after,
            // What happened has happened; only the ticket stays behind. To fail here would
            // hold up every other order for ever.
            Transition::Refused(illegal) => {
                let _trace = telemetry::spans::belongs_to(&before.trace);
                tracing::error!(error = %illegal, coffeeshop.order.id = %order_id, "ticket not changed");
                before.clone()
            }
        };
        if after != before {
            changed.insert(order_id);
        }
        // The next event of the batch may be of the same ticket.
        locked.insert(order_id, after);
    }
    locked.retain(|order_id, _| changed.contains(order_id));
    let changed: Vec<Ticket> = locked.into_values().collect();
    update(conn, &changed, &revisions, now).await?;
    outbox::append(conn, &events).await?;
    Ok(revisions)
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
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "with history as ( \
             insert into ticket_history (order_id, revision, state, time) \
             select *, $8 from unnest($5::uuid[], $6::bigint[], $7::text[])) \
         update tickets t set state = c.state, revision = c.revision, \
             drinks_made = c.drinks_made, fail_reason = c.fail_reason, \
             cancel_refused = c.cancel_refused, update_time = $8 \
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $9::text[], $10::bool[]) \
             as c (order_id, state, revision, drinks_made, fail_reason, cancel_refused) \
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
    .bind(column(changed, |t| t.cancel_refused))
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an event for each of these tickets, which are new.
pub(super) async fn announce(
    conn: &mut PgConnection,
    tickets: &[Ticket],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let events = column(tickets, |ticket| announce::stands(ticket, now));
    outbox::append(conn, &events).await
}
