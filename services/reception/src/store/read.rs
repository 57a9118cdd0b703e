//! Looking orders up and listing them.

use super::order;
use crate::order::{HistoryEntry, Order, OrderId, State};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use std::collections::HashMap;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// The order that a request id placed, and the hash of that request's body.
///
/// # Errors
/// What the database answers.
pub async fn by_request_id(
    conn: &mut PgConnection,
    request_id: Uuid,
) -> sqlx::Result<Option<(Order, Vec<u8>)>> {
    let mut known = by_request_ids(conn, &[request_id]).await?;
    Ok(known.remove(&request_id))
}

/// The same for several. Ids that placed nothing are left out.
///
/// # Errors
/// What the database answers.
pub async fn by_request_ids(
    conn: &mut PgConnection,
    request_ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, (Order, Vec<u8>)>> {
    if request_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(concat!(
        "select request_id, request_hash, ",
        columns!(),
        " from orders where request_id = any($1)"
    ))
    .bind(request_ids)
    .fetch_all(&mut *conn)
    .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let order = with_history(conn, row).await?;
        known.insert(
            row.try_get("request_id")?,
            (order, row.try_get("request_hash")?),
        );
    }
    Ok(known)
}

/// An order with its history.
///
/// # Errors
/// What the database answers.
pub async fn by_id(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<Order>> {
    let row = sqlx::query(concat!(
        "select ",
        columns!(),
        " from orders where order_id = $1"
    ))
    .bind(id)
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => Ok(Some(with_history(conn, &row).await?)),
        None => Ok(None),
    }
}

/// The revisions of several orders. Those that do not exist are left out.
///
/// # Errors
/// What the database answers.
pub async fn revisions(
    conn: &mut PgConnection,
    ids: &[OrderId],
) -> sqlx::Result<HashMap<OrderId, i64>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as("select order_id, revision from orders where order_id = any($1)")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// The trace that an order began.
///
/// # Errors
/// What the database answers.
pub async fn trace(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<TraceContext>> {
    let row = sqlx::query("select traceparent, tracestate from orders where order_id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.map(|row| {
        Ok(TraceContext {
            traceparent: row.try_get("traceparent")?,
            tracestate: row.try_get("tracestate")?,
        })
    })
    .transpose()
}

async fn with_history(conn: &mut PgConnection, row: &PgRow) -> sqlx::Result<Order> {
    let mut order = order(row)?;
    // A change may have been committed between the two reads: what is newer than the
    // order as we read it is left out.
    let rows = sqlx::query(
        "select state, time, revision, detail from order_history \
         where order_id = $1 and revision <= $2 order by revision",
    )
    .bind(order.order_id)
    .bind(order.revision)
    .fetch_all(conn)
    .await?;
    order.history = rows
        .iter()
        .map(history_entry)
        .collect::<sqlx::Result<_>>()?;
    Ok(order)
}

fn history_entry(row: &PgRow) -> sqlx::Result<HistoryEntry> {
    Ok(HistoryEntry {
        state: super::state(row, "state")?,
        time: row.try_get("time")?,
        revision: row.try_get("revision")?,
        detail: row.try_get("detail")?,
    })
}

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these.
    pub state: Option<State>,
    /// Exactly this name.
    pub customer_name: Option<String>,
    /// At or after.
    pub create_time_from: Option<DateTime<Utc>>,
    /// Before.
    pub create_time_until: Option<DateTime<Utc>>,
}

/// Lists orders older than `before`, newest first, without their history. Stable
/// under inserts: ids rise with time.
///
/// # Errors
/// What the database answers.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    before: Option<OrderId>,
    limit: i64,
) -> sqlx::Result<Vec<Order>> {
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from orders \
         where ($1::text is null or state = $1) and ($2::text is null or customer_name = $2) \
           and ($3::timestamptz is null or create_time >= $3) \
           and ($4::timestamptz is null or create_time < $4) \
           and ($5::uuid is null or order_id < $5) \
         order by order_id desc limit $6"
    ))
    .bind(filter.state.map(State::as_str))
    .bind(filter.customer_name.as_deref())
    .bind(filter.create_time_from)
    .bind(filter.create_time_until)
    .bind(before)
    .bind(limit)
    // Planned anew for these parameters: a plan for any parameters could use no index of a filter
    // that may be absent, and would read over all newer rows to a deep page.
    .persistent(false)
    .fetch_all(conn)
    .await?;
    rows.iter().map(order).collect()
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct MenuItem {
    /// Id of the drink.
    pub drink: String,
    /// Id of the size.
    pub size: String,
    /// For people.
    pub title: String,
    /// ISO 4217.
    pub currency_code: String,
    /// The price of one unit.
    pub price_minor: i64,
}

/// Lists the menu by drink and price, after the given `(drink, price_minor, size)`, whether
/// or not that one is still on it.
///
/// # Errors
/// What the database answers.
pub async fn menu(
    conn: &mut PgConnection,
    after: Option<&(String, i64, String)>,
    limit: i64,
) -> sqlx::Result<Vec<MenuItem>> {
    sqlx::query_as(
        "select drink, size, title, currency_code, price_minor from menu_items \
         where $1::text is null or (drink, price_minor, size) > ($1, $2, $3) \
         order by drink, price_minor, size limit $4",
    )
    .bind(after.map(|(drink, _, _)| drink))
    .bind(after.map(|(_, price_minor, _)| price_minor))
    .bind(after.map(|(_, _, size)| size))
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// The whole menu: some dozens of rows.
///
/// # Errors
/// What the database answers.
pub async fn whole_menu(conn: &mut PgConnection) -> sqlx::Result<Vec<MenuItem>> {
    sqlx::query_as("select drink, size, title, currency_code, price_minor from menu_items")
        .fetch_all(conn)
        .await
}
