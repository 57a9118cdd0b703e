//! Orders that owe the provider a call: their charge is undecided, or they ended without
//! coffee and their money is not known to be back.

use crate::order::OrderId;
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use std::time::Duration;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// What an order owes. Not `Debug`: it may hold the token.
#[derive(Clone)]
pub enum Owed {
    /// To be charged.
    Charge {
        /// What to charge it to.
        payment_token: String,
    },
    /// Its key is to be closed: it ended while nobody knew whether it was charged.
    Cancel,
    /// What was charged is to be given back.
    Refund {
        /// The provider's id of the charge.
        payment_id: Uuid,
    },
}

/// An order that owes the provider a call.
#[derive(Clone)]
pub struct Unsettled {
    /// The order.
    pub order_id: OrderId,
    /// What it costs, in minor units.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency_code: String,
    /// What it owes.
    pub owed: Owed,
    /// How often it was taken, this time included.
    pub attempt: i32,
    /// The order's trace.
    pub trace: TraceContext,
}

/// Takes orders that owe a call which is due.
///
/// Each is leased until its new settle time: that takes it away from other sweepers for as long
/// as the provider may be asked; no lock is held meanwhile. Who finds nothing out puts it off
/// then; who dies leaves it to whoever looks when the lease is over.
///
/// # Errors
/// What the database answers.
pub async fn claim(
    conn: &mut PgConnection,
    limit: usize,
    lease: Duration,
) -> sqlx::Result<Vec<Unsettled>> {
    sqlx::query_as(
        "update orders set settle_attempts = settle_attempts + 1, \
             settle_time = now() + interval '1 second' * $2 \
         where order_id in (select order_id from orders \
                            where (state = 'AWAITING_PAYMENT' or refund_state = 'PENDING') \
                              and settle_time <= now() \
                            order by settle_time limit $1 for update skip locked) \
         returning order_id, total_minor, currency_code, payment_state, payment_id, \
             payment_token, refund_state, settle_attempts, traceparent, tracestate",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(lease.as_secs_f64())
    .fetch_all(conn)
    .await
}

/// Puts an order off that was taken and is not settled: by a second at first, doubled with
/// every try, up to `longest`. Changes nothing if somebody has taken it since.
///
/// # Errors
/// What the database answers. It is due when its lease is over.
pub async fn put_off(
    conn: &mut PgConnection,
    order_id: OrderId,
    attempt: i32,
    longest: Duration,
) -> sqlx::Result<()> {
    sqlx::query(
        "update orders set settle_time = now() + interval '1 second' \
             * least(2 ^ least(settle_attempts - 1, 20), $3) \
         where order_id = $1 and settle_attempts = $2",
    )
    .bind(order_id)
    .bind(attempt)
    .bind(longest.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(())
}

impl FromRow<'_, PgRow> for Unsettled {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            order_id: row.try_get("order_id")?,
            total_minor: row.try_get("total_minor")?,
            currency_code: row.try_get("currency_code")?,
            owed: owed(row)?,
            attempt: row.try_get("settle_attempts")?,
            trace: super::trace(row)?,
        })
    }
}

fn owed(row: &PgRow) -> sqlx::Result<Owed> {
    let payment_state: &str = row.try_get("payment_state")?;
    Ok(match (row.try_get("refund_state")?, payment_state) {
        ("PENDING", "CHARGED") => Owed::Refund {
            payment_id: row.try_get("payment_id")?,
        },
        ("PENDING", _) => Owed::Cancel,
        _ => Owed::Charge {
            payment_token: row.try_get("payment_token")?,
        },
    })
}

/// How many orders are not settled, or not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromRow)]
pub struct Counts {
    /// Their charge is undecided.
    pub awaiting_payment: i64,
    /// They ended without coffee, and their money is not known to be back.
    pub refunds_owed: i64,
    /// How long the oldest of these has been as it is, in seconds.
    pub refunds_owed_age: f64,
    /// They are paid, and nobody has begun them.
    pub paid: i64,
    /// They are being made.
    pub preparing: i64,
}

/// Counts unsettled and unmade orders, no more than `limit` of each.
///
/// Each by the order of its index, which is then the way to them, however large the table is and
/// whatever is known of it. Two gauges that share an index walk past each other's orders; a look
/// that takes long is followed by a long pause.
///
/// # Errors
/// What the database answers.
pub async fn count(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Counts> {
    sqlx::query_as(
        "select \
         (select count(*) from (select from orders where state = 'AWAITING_PAYMENT' \
             order by settle_time limit $1) as o) as awaiting_payment, \
         (select count(*) from (select from orders where refund_state = 'PENDING' \
             order by update_time limit $1) as o) as refunds_owed, \
         (select greatest(0, coalesce(extract(epoch from now() - min(update_time)), 0))::float8 \
             from orders where refund_state = 'PENDING') as refunds_owed_age, \
         (select count(*) from (select from orders where state = 'PAID' \
             order by greatest(update_time, silent_time) limit $1) as o) as paid, \
         (select count(*) from (select from orders where state = 'PREPARING' \
             order by greatest(update_time, silent_time) limit $1) as o) as preparing",
    )
    .bind(limit)
    .fetch_one(conn)
    .await
}
