//! Booking drinks as made, and handing them back.
//!
//! "Made" means booked. Guarantee: a drink is booked once, and the booking of an
//! order's last drink makes its ticket READY, also when its last two are booked by two
//! processes at the same moment: both need the ticket's row lock, so the second one
//! counts what the first one booked.

use super::{column, take::Lease, tickets};
use crate::ticket::Event;
use planted::Bug;
use sqlx::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;

/// Books brewed drinks. Returns, for each, whether it was in time; one whose drink went
/// to somebody else, or back into the queue, changes nothing.
pub async fn book_drinks(conn: &mut PgConnection, brewed: &[Lease]) -> sqlx::Result<Vec<bool>> {
    if brewed.is_empty() {
        return Ok(Vec::new());
    }
    let tickets = tickets::lock(conn, &column(brewed, |lease| lease.order_id)).await?;
    let made = make(conn, brewed).await?;
    let in_time: Vec<bool> = column(brewed, |lease| made.contains(&key(lease)));
    let booked = made
        .iter()
        .map(|(order_id, ..)| (*order_id, Event::DrinkBooked));
    tickets::advance(conn, tickets, booked).await?;
    Ok(in_time)
}

type Key = (Uuid, i32, i32, i32);

fn key(lease: &Lease) -> Key {
    (lease.order_id, lease.line, lease.unit, lease.attempt)
}

async fn make(conn: &mut PgConnection, brewed: &[Lease]) -> sqlx::Result<HashSet<Key>> {
    let made: Vec<Key> = sqlx::query_as(planted::swap(
        Bug::UnconditionalBooking,
        "d.attempt = l.attempt and d.state = 'BREWING'",
        "d.state <> 'WAITING'",
        "update drinks d set state = 'MADE', made_time = now(), lease_owner = null, \
             lease_expire_time = null \
         from unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[]) \
             as l (order_id, line, unit, attempt) \
         where d.order_id = l.order_id and d.line = l.line and d.unit = l.unit \
           and d.attempt = l.attempt and d.state = 'BREWING' \
         returning d.order_id, d.line, d.unit, d.attempt",
    ))
    .bind(column(brewed, |l| l.order_id))
    .bind(column(brewed, |l| l.line))
    .bind(column(brewed, |l| l.unit))
    .bind(column(brewed, |l| l.attempt))
    .fetch_all(conn)
    .await?;
    Ok(made.into_iter().collect())
}

/// Puts back into the queue whatever this process still holds, so that another need
/// not wait until the leases run out. Returns how many.
///
/// It locks drinks without their tickets, and in no order, so it waits for nobody: who
/// waited could wait in a circle with whoever ends tickets. A drink that is locked is
/// about to be gone, booked or open again, and needs no handing back; should that come to
/// nothing, its lease runs out.
pub async fn hand_back(conn: &mut PgConnection, owner: Uuid) -> sqlx::Result<u64> {
    let handed_back = sqlx::query(
        "update drinks d set state = 'WAITING', barista_id = null, lease_owner = null, \
             lease_expire_time = null, start_time = null \
         from (select order_id, line, unit from drinks \
               where state = 'BREWING' and lease_owner = $1 \
               for update skip locked) as held \
         where d.order_id = held.order_id and d.line = held.line and d.unit = held.unit",
    )
    .bind(owner)
    .execute(conn)
    .await?;
    Ok(handed_back.rows_affected())
}
