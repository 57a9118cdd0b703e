//! Giving up on tickets.

use super::tickets;
use crate::ticket::{Event, State};
use sqlx::PgConnection;
use std::{collections::BTreeMap, iter};
use uuid::Uuid;

/// Makes tickets FAILED that are not made yet, each with its reason, and says so.
///
/// Their drinks are taken from the queue and out of the hands of whoever brews one: the
/// booking finds nothing any more, and the coffee is wasted. Unknown orders, and tickets
/// that are READY, stay as they are.
pub async fn fail(conn: &mut PgConnection, reasons: &BTreeMap<Uuid, String>) -> sqlx::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    let order_ids: Vec<Uuid> = reasons.keys().copied().collect();
    let tickets = tickets::lock(conn, &order_ids).await?;
    let unmade = tickets
        .into_iter()
        .filter(|(_, ticket)| matches!(ticket.state, State::Queued | State::Started));
    let unmade: Vec<_> = unmade.collect();
    let failing: Vec<Uuid> = unmade.iter().map(|(order_id, _)| *order_id).collect();
    sqlx::query("delete from drinks where order_id = any($1) and state <> 'MADE'")
        .bind(failing)
        .execute(&mut *conn)
        .await?;
    // One by one: each has its own reason, and there are few.
    for (order_id, ticket) in unmade {
        let reason = reasons.get(&order_id).cloned().unwrap_or_default();
        let locked = BTreeMap::from([(order_id, ticket)]);
        tickets::advance(
            conn,
            locked,
            Event::CannotBeMade { reason },
            iter::once(order_id),
        )
        .await?;
    }
    Ok(())
}
