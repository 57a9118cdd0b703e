//! Giving up on tickets.

use super::{column, tickets};
use crate::ticket::{Event, State};
use sqlx::PgConnection;
use uuid::Uuid;

/// Makes tickets FAILED that are not made yet, and says so. Their drinks are taken from the
/// queue and from whoever brews one: a booking finds nothing any more, and its drink is
/// wasted. Unknown ids, and tickets that are READY, stay as they are.
pub async fn fail(conn: &mut PgConnection, order_ids: &[Uuid], reason: &str) -> sqlx::Result<()> {
    if order_ids.is_empty() {
        return Ok(());
    }
    let mut tickets = tickets::lock(conn, order_ids).await?;
    tickets.retain(|_, ticket| matches!(ticket.state, State::Queued | State::Started));
    let failing: Vec<Uuid> = tickets.keys().copied().collect();
    sqlx::query("delete from drinks where order_id = any($1) and state <> 'MADE'")
        .bind(column(&failing, |order_id| *order_id))
        .execute(&mut *conn)
        .await?;
    let reason = reason.to_owned();
    let event = Event::CannotBeMade { reason };
    tickets::advance(conn, tickets, event, failing.into_iter()).await
}
