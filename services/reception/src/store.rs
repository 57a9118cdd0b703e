//! The SQL of orders. The caller owns the transaction.
//!
//! Every write takes a batch. Whoever changes stored orders locks them first, all
//! at once and ordered by id (`lock`): two batches that overlap would otherwise
//! wait for each other.

/// What `order` reads. Named one by one: a column that a newer version adds would change what `*`
/// returns, and this version's prepared statements would fail for as long as their connections live.
macro_rules! columns {
    () => {
        "order_id, customer_name, items, currency_code, total_minor, state, revision, \
         payment_state, payment_id, decline_reason, refund_state, cancel_state, create_time, \
         update_time, ready_time"
    };
}

/// Paid orders of which nothing is heard.
pub mod overdue;
/// Orders that owe the provider a call.
pub mod owed;
/// Looking orders up and listing them.
pub mod read;
/// Orders whose time to pay is over.
pub mod unpaid;

use crate::order::{HistoryEntry, Item, Order, OrderId, Payment, Refund, State, UnknownName};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use std::{str::FromStr, time::Duration};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// What is stored of an order besides what it is. Not `Debug`: it holds the token.
#[derive(Clone)]
pub struct NewOrder {
    /// The order, AWAITING_PAYMENT, with its first history entry.
    pub order: Order,
    /// The caller's id of the call, or one that was made up.
    pub request_id: Uuid,
    /// SHA-256 of the request's body.
    pub request_hash: Vec<u8>,
    /// Erased when the payment is settled.
    pub payment_token: String,
    /// For how long the sweeper leaves it to the call that places it. No time: it is measured by
    /// the database's clock, like everything that instances have to agree on.
    pub settle_after: Duration,
    /// The trace that the order begins.
    pub trace: TraceContext,
}

/// An order as it is stored, locked for a change.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The order, without its history: what it holds after a change is new.
    pub order: Order,
    /// The last revision of its ticket that was applied.
    pub ticket_revision: i64,
}

/// Stores new orders whose request id is free. Returns the ids of those stored.
///
/// # Errors
/// What the database answers.
pub async fn insert(conn: &mut PgConnection, new: &[NewOrder]) -> sqlx::Result<Vec<OrderId>> {
    sqlx::query_scalar(
        "insert into orders (order_id, request_id, request_hash, customer_name, items, \
             currency_code, total_minor, state, revision, payment_state, refund_state, \
             cancel_state, payment_token, settle_time, traceparent, tracestate, create_time, \
             update_time) \
         select order_id, request_id, request_hash, customer_name, items, currency_code, \
             total_minor, 'AWAITING_PAYMENT', 1, 'PENDING', 'NOT_NEEDED', 'NOT_REQUESTED', \
             payment_token, now() + make_interval(secs => settle_after), traceparent, tracestate, \
             create_time, create_time \
         from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::jsonb[], $6::text[], \
             $7::bigint[], $8::text[], $9::float8[], $10::text[], $11::text[], \
             $12::timestamptz[]) \
             as n (order_id, request_id, request_hash, customer_name, items, currency_code, \
                   total_minor, payment_token, settle_after, traceparent, tracestate, create_time) \
         order by request_id \
         on conflict on constraint orders_request_id_key do nothing \
         returning order_id",
    )
    .bind(column(new, |n| n.order.order_id.0))
    .bind(column(new, |n| n.request_id))
    .bind(column(new, |n| n.request_hash.clone()))
    .bind(column(new, |n| n.order.customer_name.clone()))
    .bind(column(new, |n| Json(n.order.items.clone())))
    .bind(column(new, |n| n.order.currency_code.clone()))
    .bind(column(new, |n| n.order.total_minor))
    .bind(column(new, |n| n.payment_token.clone()))
    .bind(column(new, |n| n.settle_after.as_secs_f64()))
    .bind(column(new, |n| n.trace.traceparent.clone()))
    .bind(column(new, |n| n.trace.tracestate.clone()))
    .bind(column(new, |n| n.order.create_time))
    .fetch_all(conn)
    .await
}

/// Reads orders and locks them until the transaction ends, ordered by id. Unknown
/// ids are left out.
///
/// # Errors
/// What the database answers, or a stored value that this version does not know.
pub async fn lock(conn: &mut PgConnection, ids: &[OrderId]) -> sqlx::Result<Vec<Locked>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(concat!(
        "select ticket_revision, ",
        columns!(),
        " from orders where order_id = any($1) order by order_id for update"
    ))
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let ticket_revision = row.try_get("ticket_revision")?;
            Ok(Locked {
                order: order(row)?,
                ticket_revision,
            })
        })
        .collect()
}

/// Writes back locked orders that have changed.
///
/// # Errors
/// What the database answers.
pub async fn update(conn: &mut PgConnection, changed: &[Locked]) -> sqlx::Result<()> {
    sqlx::query(
        "update orders o set state = c.state, revision = c.revision, \
             payment_state = c.payment_state, payment_id = c.payment_id, \
             decline_reason = c.decline_reason, ticket_revision = c.ticket_revision, \
             payment_token = case when c.state = 'AWAITING_PAYMENT' then o.payment_token end, \
             update_time = c.update_time, ready_time = c.ready_time, \
             refund_state = c.refund_state, cancel_state = c.cancel_state, \
             settle_time = case when c.owed and o.refund_state <> 'PENDING' \
                 then now() else o.settle_time end, \
             settle_attempts = case when c.owed and o.refund_state <> 'PENDING' \
                 then 0 else o.settle_attempts end \
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::text[], \
             $7::bigint[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], \
             $12::bool[]) \
             as c (order_id, state, revision, payment_state, payment_id, decline_reason, \
                   ticket_revision, update_time, ready_time, refund_state, cancel_state, owed) \
         where o.order_id = c.order_id",
    )
    .bind(column(changed, |c| c.order.order_id.0))
    .bind(column(changed, |c| c.order.state.as_str()))
    .bind(column(changed, |c| c.order.revision))
    .bind(column(changed, |c| payment_state(&c.order.payment)))
    .bind(column(changed, |c| payment_id(&c.order.payment)))
    .bind(column(changed, |c| decline_reason(&c.order.payment)))
    .bind(column(changed, |c| c.ticket_revision))
    .bind(column(changed, |c| c.order.update_time))
    .bind(column(changed, |c| c.order.ready_time))
    .bind(column(changed, |c| c.order.refund.as_str()))
    .bind(column(changed, |c| c.order.cancel.as_str()))
    // What is owed to a customer is due at once.
    .bind(column(changed, |c| c.order.refund == Refund::Pending))
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down the history entries that the orders hold, all of which are new.
///
/// # Errors
/// What the database answers; a revision that exists already among it.
pub async fn insert_history(conn: &mut PgConnection, orders: &[&Order]) -> sqlx::Result<()> {
    let entries: Vec<(OrderId, &HistoryEntry)> = orders
        .iter()
        .flat_map(|order| order.history.iter().map(|entry| (order.order_id, entry)))
        .collect();
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into order_history (order_id, revision, state, time, detail) \
         select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[])",
    )
    .bind(column(&entries, |(id, _)| id.0))
    .bind(column(&entries, |(_, entry)| entry.revision))
    .bind(column(&entries, |(_, entry)| entry.state.as_str()))
    .bind(column(&entries, |(_, entry)| entry.time))
    .bind(column(&entries, |(_, entry)| entry.detail.clone()))
    .execute(conn)
    .await?;
    Ok(())
}

/// The trace that an order began.
fn trace(row: &PgRow) -> sqlx::Result<TraceContext> {
    Ok(TraceContext {
        traceparent: row.try_get("traceparent")?,
        tracestate: row.try_get("tracestate")?,
    })
}

/// An order from a row that holds its `columns!`, without its history.
fn order(row: &PgRow) -> sqlx::Result<Order> {
    Ok(Order {
        order_id: row.try_get("order_id")?,
        customer_name: row.try_get("customer_name")?,
        items: row.try_get::<Json<Vec<Item>>, _>("items")?.0,
        currency_code: row.try_get("currency_code")?,
        total_minor: row.try_get("total_minor")?,
        state: state(row, "state")?,
        revision: row.try_get("revision")?,
        payment: payment(row)?,
        refund: named(row, "refund_state")?,
        cancel: named(row, "cancel_state")?,
        create_time: row.try_get("create_time")?,
        update_time: row.try_get("update_time")?,
        ready_time: row.try_get("ready_time")?,
        history: Vec::new(),
    })
}

fn state(row: &PgRow, column: &str) -> sqlx::Result<State> {
    named(row, column)
}

/// A stored name that this version knows.
fn named<T: FromStr<Err = UnknownName>>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn payment(row: &PgRow) -> sqlx::Result<Payment> {
    Ok(match row.try_get("payment_state")? {
        "CHARGED" => Payment::Charged {
            payment_id: row.try_get("payment_id")?,
        },
        "DECLINED" => Payment::Declined {
            reason: row.try_get("decline_reason")?,
        },
        "PENDING" => Payment::Pending,
        "CANCELLED" => Payment::Cancelled,
        other => {
            return Err(sqlx::Error::Decode(
                format!("unknown payment_state {other:?}").into(),
            ));
        }
    })
}

fn payment_state(payment: &Payment) -> &'static str {
    match payment {
        Payment::Pending => "PENDING",
        Payment::Charged { .. } => "CHARGED",
        Payment::Declined { .. } => "DECLINED",
        Payment::Cancelled => "CANCELLED",
    }
}

fn payment_id(payment: &Payment) -> Option<Uuid> {
    match payment {
        Payment::Charged { payment_id } => Some(*payment_id),
        Payment::Pending | Payment::Declined { .. } | Payment::Cancelled => None,
    }
}

fn decline_reason(payment: &Payment) -> Option<String> {
    match payment {
        Payment::Declined { reason } => Some(reason.clone()),
        Payment::Pending | Payment::Charged { .. } | Payment::Cancelled => None,
    }
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
