//! Reading for those who watch.

use super::list::TicketDrink;
use sqlx::PgConnection;
use uuid::Uuid;

/// The drinks of these tickets, a ticket's side by side.
///
/// One statement, so that a ticket and its drinks are of the same moment.
pub async fn tickets(
    conn: &mut PgConnection,
    order_ids: &[Uuid],
) -> sqlx::Result<Vec<TicketDrink>> {
    if order_ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "select t.order_id, t.state, t.revision, t.fail_reason, t.cancel_refused, t.create_time, \
             t.update_time, d.line, d.unit, d.drink, d.size, d.state as drink_state, d.barista_id, \
             d.attempt, d.made_time \
         from tickets t left join drinks d on d.order_id = t.order_id \
         where t.order_id = any($1) \
         order by t.order_id, d.line, d.unit",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await
}
