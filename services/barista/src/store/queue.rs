//! Paid orders become tickets.

use super::{column, tickets};
use crate::ticket::Ticket;
use chrono::{DateTime, Utc};
use planted::Bug;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// How a drink is made.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Recipe {
    /// Id of the drink.
    pub drink: String,
    /// Id of the size.
    pub size: String,
    /// What a barista must be able to do.
    pub skill: String,
    /// How long it takes.
    pub brew_time_ms: i32,
    /// Whether somebody on shift has the skill.
    pub on_shift: bool,
}

/// All recipes: some dozens of rows.
pub async fn recipes(conn: &mut PgConnection) -> sqlx::Result<Vec<Recipe>> {
    sqlx::query_as(
        "select drink, size, skill, brew_time_ms, \
             exists (select from baristas b where r.skill = any(b.skills)) as on_shift \
         from recipes r",
    )
    .fetch_all(conn)
    .await
}

/// A ticket to be stored, with its drinks; one that is given up has none.
#[derive(Clone, Debug)]
pub struct NewTicket {
    /// QUEUED, CANCELLED or FAILED, at its first revision.
    pub ticket: Ticket,
    /// The revision of the order that it goes by.
    pub order_revision: i64,
    /// One per unit.
    pub drinks: Vec<NewDrink>,
}

/// One unit of one line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDrink {
    /// The order.
    pub order_id: Uuid,
    /// The order's line, from 0.
    pub line: i32,
    /// The unit within the line, from 0.
    pub unit: i32,
    /// How it is made.
    pub recipe: Recipe,
}

/// Stores new tickets with their drinks and events. An order that has a ticket by now
/// keeps the one it has. Returns the orders whose tickets are new.
pub async fn queue(
    conn: &mut PgConnection,
    mut new: Vec<NewTicket>,
) -> sqlx::Result<HashSet<Uuid>> {
    if new.is_empty() {
        return Ok(HashSet::new());
    }
    // As everybody who locks tickets: in the sequence of their ids.
    new.sort_unstable_by_key(|new| new.ticket.order_id);
    let now = tickets::now();
    let queued = insert_tickets(conn, &new, now).await?;
    if planted::bug(Bug::NoUnique) {
        own_keys(
            new.iter_mut()
                .filter(|new| !queued.contains(&new.ticket.order_id)),
        );
    } else {
        new.retain(|new| queued.contains(&new.ticket.order_id));
    }
    let drinks: Vec<&NewDrink> = new.iter().flat_map(|new| &new.drinks).collect();
    insert_drinks(conn, &drinks).await?;
    let tickets = column(&new, |new| new.ticket.clone());
    tickets::announce(conn, &tickets, now).await?;
    Ok(queued)
}

/// Has drinks told apart by something else than what was ordered: above the 20 units of a line.
fn own_keys<'a>(again: impl Iterator<Item = &'a mut NewTicket>) {
    again
        .flat_map(|new| &mut new.drinks)
        .for_each(|drink| drink.unit += 20);
}

/// Returns the orders whose tickets are new.
async fn insert_tickets(
    conn: &mut PgConnection,
    new: &[NewTicket],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<Uuid>> {
    let queued: Vec<Uuid> = sqlx::query_scalar(
        "with queued as ( \
             insert into tickets (order_id, state, revision, order_revision, drinks_total, \
                 drinks_made, fail_reason, traceparent, tracestate, create_time, update_time) \
             select order_id, state, revision, order_revision, drinks_total, \
                 0, fail_reason, traceparent, tracestate, $8, $8 \
             from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], \
                 $6::text[], $7::text[], $9::text[]) \
                 as n (order_id, state, revision, order_revision, drinks_total, traceparent, \
                       tracestate, fail_reason) \
             on conflict on constraint tickets_pkey do nothing \
             returning order_id, revision, state), \
         history as ( \
             insert into ticket_history (order_id, revision, state, time) \
             select order_id, revision, state, $8 from queued) \
         select order_id from queued",
    )
    .bind(column(new, |n| n.ticket.order_id))
    .bind(column(new, |n| n.ticket.state.as_str()))
    .bind(column(new, |n| n.ticket.revision))
    .bind(column(new, |n| n.order_revision))
    .bind(column(new, |n| n.ticket.drinks_total))
    .bind(column(new, |n| n.ticket.trace.traceparent.clone()))
    .bind(column(new, |n| n.ticket.trace.tracestate.clone()))
    .bind(now)
    .bind(column(new, |n| n.ticket.fail_reason.clone()))
    .fetch_all(conn)
    .await?;
    Ok(queued.into_iter().collect())
}

async fn insert_drinks(conn: &mut PgConnection, drinks: &[&NewDrink]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into drinks (order_id, line, unit, drink, size, skill, brew_time_ms) \
         select * from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::text[], \
                              $6::text[], $7::integer[])",
    )
    .bind(column(drinks, |d| d.order_id))
    .bind(column(drinks, |d| d.line))
    .bind(column(drinks, |d| d.unit))
    .bind(column(drinks, |d| d.recipe.drink.clone()))
    .bind(column(drinks, |d| d.recipe.size.clone()))
    .bind(column(drinks, |d| d.recipe.skill.clone()))
    .bind(column(drinks, |d| d.recipe.brew_time_ms))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that newer revisions of these orders were heard of. The caller has locked
/// their tickets.
pub async fn raise_order_revisions(
    conn: &mut PgConnection,
    revisions: &BTreeMap<Uuid, i64>,
) -> sqlx::Result<()> {
    if revisions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update tickets t set order_revision = r.order_revision \
         from unnest($1::uuid[], $2::bigint[]) as r (order_id, order_revision) \
         where t.order_id = r.order_id and t.order_revision < r.order_revision",
    )
    .bind(revisions.keys().copied().collect::<Vec<_>>())
    .bind(revisions.values().copied().collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
