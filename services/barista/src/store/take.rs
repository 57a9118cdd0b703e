//! Giving drinks to baristas.
//!
//! Problem: many processes hand out drinks at the same time, any of them may die with
//! drinks in hand, and a barista has two hands for one drink.
//! Guarantee: a drink is with one barista, and a barista with one drink, at a time. A
//! drink whose lease ran out is open to all again, until it has run out too often, and its
//! barista is free.
//! Not guaranteed: that a barista whose order was given up has put its drink down before
//! the next one. Nor that a drink is brewed once. Who brews on after the lease wastes the
//! coffee; the booking decides, by the attempt.

use super::{
    column,
    tickets::{self, Locked},
};
use crate::{
    ticket::Event,
    workforce::{self, Assignment, Barista, Open},
};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// The most drinks given out in one transaction.
const AT_ONCE: i64 = 200;

/// What drinks are leased on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The process that brews, since its start.
    pub owner: Uuid,
    /// Factor on the recipes' brew times.
    pub scale: f64,
    /// How much longer than its brew time a drink may take.
    pub margin: Duration,
    /// How many leases on a drink may run out until nobody takes it any more.
    pub attempts: i32,
}

/// A drink in the hands of a barista, for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The order.
    pub order_id: Uuid,
    /// The order's line.
    pub line: i32,
    /// The unit within the line.
    pub unit: i32,
    /// Which taking of this drink it is. What the lease is told apart by.
    pub attempt: i32,
    /// Id of the drink.
    pub drink: String,
    /// Id of the size.
    pub size: String,
    /// Who brews it.
    pub barista_id: String,
    /// For how long, by the scale.
    pub brew_time: Duration,
    /// Whether it is the first of its ticket: with it the ticket is STARTED.
    pub starts_ticket: bool,
    /// The order's trace.
    pub trace: TraceContext,
}

/// Gives waiting drinks to free baristas, the oldest order first, and starts their
/// tickets. Waits for no other transaction: what is locked is left for the next time.
pub async fn take_drinks(conn: &mut PgConnection, terms: &Terms) -> sqlx::Result<Vec<Lease>> {
    reopen_expired(conn).await?;
    let free = lock_free_baristas(conn).await?;
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let (open, tickets) = lock_open_drinks(conn, terms, &free).await?;
    let mut leases = lease(conn, terms, workforce::assign(free, open), &tickets).await?;
    let taken: Vec<_> = leases
        .iter()
        .map(|lease| (lease.order_id, Event::DrinkTaken))
        .collect();
    for started in tickets::advance(conn, tickets, taken.into_iter()).await? {
        let mut of = leases.iter_mut();
        if let Some(first) = of.find(|lease| lease.order_id == started.order_id) {
            first.starts_ticket = true;
        }
    }
    Ok(leases)
}

/// Puts drinks back into the queue whose lease ran out: whoever had them is gone, or
/// slow.
async fn reopen_expired(conn: &mut PgConnection) -> sqlx::Result<()> {
    let reopened = sqlx::query(
        "update drinks d set state = 'WAITING', lapses = d.lapses + 1, barista_id = null, \
             lease_owner = null, lease_expire_time = null, start_time = null \
         from (select order_id, line, unit from drinks \
               where state = 'BREWING' and lease_expire_time < now() \
               for update skip locked) as expired \
         where d.order_id = expired.order_id and d.line = expired.line and d.unit = expired.unit",
    )
    .execute(conn)
    .await?
    .rows_affected();
    if reopened > 0 {
        tracing::warn!(drinks = reopened, "leases ran out: their drinks wait again");
    }
    Ok(())
}

/// Locks baristas who are free and for whose skills something waits. An idle shop locks
/// nobody, so looking for work writes nothing.
async fn lock_free_baristas(conn: &mut PgConnection) -> sqlx::Result<Vec<Barista>> {
    sqlx::query_as(
        "select barista_id, skills from baristas b \
         where skills && array(select skill from skills_waited_for) \
           and not exists ( \
                   select from drinks d where d.state = 'BREWING' and d.barista_id = b.barista_id) \
         limit $1 for update skip locked",
    )
    .bind(AT_ONCE)
    .fetch_all(conn)
    .await
}

/// Locks as many waiting drinks of each skill as there are hands for it, and their
/// tickets.
async fn lock_open_drinks(
    conn: &mut PgConnection,
    terms: &Terms,
    free: &[Barista],
) -> sqlx::Result<(Vec<Open>, Locked)> {
    let mut hands: BTreeMap<&str, i64> = BTreeMap::new();
    for skill in free.iter().flat_map(|barista| &barista.skills) {
        *hands.entry(skill).or_default() += 1;
    }
    let rows = sqlx::query(
        "select w.* from unnest($1::text[], $2::bigint[]) as h (skill, hands) \
         cross join lateral ( \
             select d.line, d.unit, d.drink, d.size, d.skill, d.brew_time_ms, t.order_id, \
                 t.state, t.revision, t.drinks_total, t.drinks_made, t.fail_reason, \
                 t.cancel_refused, t.traceparent, t.tracestate \
             from drinks d join tickets t on t.order_id = d.order_id \
             where d.state = 'WAITING' and d.skill = h.skill and d.lapses < $3 \
             order by d.order_id, d.line, d.unit limit h.hands \
             for update of d, t skip locked) as w",
    )
    .bind(hands.keys().copied().collect::<Vec<_>>())
    .bind(hands.values().copied().collect::<Vec<_>>())
    .bind(terms.attempts)
    .fetch_all(conn)
    .await?;
    let open = rows.iter().map(open).collect::<sqlx::Result<_>>()?;
    let tickets = rows
        .iter()
        .map(|row| tickets::ticket(row).map(|ticket| (ticket.order_id, ticket)))
        .collect::<sqlx::Result<_>>()?;
    Ok((open, tickets))
}

fn open(row: &PgRow) -> sqlx::Result<Open> {
    Ok(Open {
        order_id: row.try_get("order_id")?,
        line: row.try_get("line")?,
        unit: row.try_get("unit")?,
        drink: row.try_get("drink")?,
        size: row.try_get("size")?,
        skill: row.try_get("skill")?,
        brew_time_ms: row.try_get("brew_time_ms")?,
    })
}

/// Writes the leases, and returns those that were granted.
///
/// A barista may have been given a drink between the moment that our look at the free
/// ones began and the moment that we got the lock: the lock alone does not tell. This
/// is a new statement under that lock, so it sees it, and leaves the drink waiting.
async fn lease(
    conn: &mut PgConnection,
    terms: &Terms,
    assignments: Vec<Assignment>,
    tickets: &Locked,
) -> sqlx::Result<Vec<Lease>> {
    let rows: Vec<(Uuid, i32, i32, i32)> = sqlx::query_as(
        "update drinks d set state = 'BREWING', attempt = d.attempt + 1, \
             barista_id = a.barista_id, lease_owner = $6, start_time = now(), \
             lease_expire_time = now() + a.lease_ms * interval '1 millisecond' \
         from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::bigint[]) \
             as a (order_id, line, unit, barista_id, lease_ms) \
         where d.order_id = a.order_id and d.line = a.line and d.unit = a.unit \
           and not exists (select from drinks busy \
                           where busy.state = 'BREWING' and busy.barista_id = a.barista_id) \
         returning d.order_id, d.line, d.unit, d.attempt",
    )
    .bind(column(&assignments, |a| a.open.order_id))
    .bind(column(&assignments, |a| a.open.line))
    .bind(column(&assignments, |a| a.open.unit))
    .bind(column(&assignments, |a| a.barista_id.clone()))
    .bind(column(&assignments, |a| terms.lease_ms(&a.open)))
    .bind(terms.owner)
    .fetch_all(conn)
    .await?;
    let attempts: HashMap<(Uuid, i32, i32), i32> = rows
        .into_iter()
        .map(|(order_id, line, unit, attempt)| ((order_id, line, unit), attempt))
        .collect();
    Ok(assignments
        .into_iter()
        .filter_map(|assignment| {
            let attempt = *attempts.get(&assignment.open.key())?;
            let trace = tickets.get(&assignment.open.order_id)?.trace.clone();
            Some(terms.lease(assignment, attempt, trace))
        })
        .collect())
}

impl Terms {
    fn lease(&self, assignment: Assignment, attempt: i32, trace: TraceContext) -> Lease {
        let Assignment { barista_id, open } = assignment;
        Lease {
            order_id: open.order_id,
            line: open.line,
            unit: open.unit,
            attempt,
            barista_id,
            brew_time: self.brew_time(&open),
            drink: open.drink,
            size: open.size,
            starts_ticket: false,
            trace,
        }
    }

    fn brew_time(&self, open: &Open) -> Duration {
        Duration::from_millis(open.brew_time_ms.unsigned_abs().into()).mul_f64(self.scale)
    }

    fn lease_ms(&self, open: &Open) -> i64 {
        let lease = self.brew_time(open).saturating_add(self.margin);
        i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
    }
}
