//! Finding drinks that nobody will make.

use crate::ticket::Event;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The most drinks found in one transaction.
const AT_ONCE: i64 = 200;

/// Locks drinks that wait in vain, and their tickets: nobody on shift has the skill any
/// more, or as many leases ran out as there are attempts. Returns why, by order.
///
/// Waits for no other transaction, as taking does: what is locked is left for the next
/// time. Goes by the same skills as taking: what waits for one is taken or given up.
pub async fn lock_hopeless(
    conn: &mut PgConnection,
    attempts: i32,
) -> sqlx::Result<BTreeMap<Uuid, Event>> {
    let rows = sqlx::query(
        "with hopeless as ( \
             select d.* from skills_waited_for w cross join lateral ( \
                 select order_id, line, unit from drinks \
                 where state = 'WAITING' and skill = w.skill limit $2) as d \
             where not exists (select from baristas b where w.skill = any(b.skills)) \
             union \
             (select order_id, line, unit from drinks \
              where state = 'WAITING' and lapses > 0 and lapses >= $1 limit $2)) \
         select d.order_id, d.drink, d.size, d.skill, d.lapses \
         from hopeless h join drinks d using (order_id, line, unit) \
         join tickets t using (order_id) \
         where d.state = 'WAITING' for update of d, t skip locked",
    )
    .bind(attempts)
    .bind(AT_ONCE)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| given_up(row, attempts)).collect()
}

fn given_up(row: &PgRow, attempts: i32) -> sqlx::Result<(Uuid, Event)> {
    let (drink, size): (&str, &str) = (row.try_get("drink")?, row.try_get("size")?);
    let lapses: i32 = row.try_get("lapses")?;
    let reason = if lapses >= attempts {
        format!("{drink:?} in {size:?} was begun {lapses} times and never done")
    } else {
        nobody_can(drink, row.try_get("skill")?)
    };
    Ok((row.try_get("order_id")?, Event::CannotBeMade { reason }))
}

/// Why a drink cannot be made that somebody else could make.
pub fn nobody_can(drink: &str, skill: &str) -> String {
    format!("nobody on shift can make {drink:?}, which takes the skill {skill:?}")
}
