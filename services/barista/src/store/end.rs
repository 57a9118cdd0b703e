//! Ending tickets before they are made: cancelled, or given up.

use super::{column, tickets};
use crate::ticket::Event;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Lets happen to tickets what may end them, and says what came of it. Returns the orders
/// whose tickets have a new revision.
///
/// The drinks of a ticket that ends are taken from the queue and out of the hands of
/// whoever brews one: the booking finds nothing any more, and the coffee is wasted. A
/// drink that is taken at the same moment was taken before or after: its taking needs the
/// ticket's row lock, too. Unknown orders are left out.
pub async fn end(
    conn: &mut PgConnection,
    happened: BTreeMap<Uuid, Event>,
) -> sqlx::Result<BTreeSet<Uuid>> {
    if happened.is_empty() {
        return Ok(BTreeSet::new());
    }
    let order_ids: Vec<Uuid> = happened.keys().copied().collect();
    let tickets = tickets::lock(conn, &order_ids).await?;
    let mut revised = tickets::advance(conn, tickets, happened.into_iter()).await?;
    let order_ids = column(&revised, |ticket| ticket.order_id);
    revised.retain(|ticket| ticket.state.is_given_up());
    sqlx::query("delete from drinks where order_id = any($1) and state <> 'MADE'")
        .bind(column(&revised, |ticket| ticket.order_id))
        .execute(conn)
        .await?;
    Ok(order_ids.into_iter().collect())
}
