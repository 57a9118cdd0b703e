//! The SQL of the ledger. The caller owns the transaction.
//!
//! Rows are inserted, with their decision in them, and read; only giving money back changes
//! one.

/// What a payment is read from. Named one by one: a column that a newer version adds would change
/// what `*` returns, and this version's prepared statements would fail for as long as their
/// connections live.
macro_rules! columns {
    () => {
        "payment_id, idempotency_key, order_id, amount_minor, currency_code, token_sha256, state, \
         decline_reason, create_time"
    };
}

// Giving money back.
mod refunds;

pub use refunds::{give_back, refund_by_key};

use crate::payment::{Charge, Decision, Money, Payment, PaymentId, TokenHash};
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use std::{io, time::Duration};
use tokio::time;
use uuid::Uuid;

/// What the ledger gets to answer: enough for a slow statement to run into its own
/// limit on the server, which says more. Less than lifecycle's, which is for work in the
/// background: here a caller waits, who has given up by then.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gives up on a database that stopped answering. sqlx would wait until TCP gives up.
pub async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// Inserts the payments whose keys are free, and returns those. For a key that another
/// transaction is about to insert, waits until that one is over.
pub async fn insert(conn: &mut PgConnection, payments: &[Payment]) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(concat!(
        // Ordered by key: two batches that overlap would otherwise wait for each other.
        "insert into payments (payment_id, idempotency_key, order_id, amount_minor, \
             currency_code, token_sha256, state, decline_reason, create_time) \
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], \
             $6::bytea[], $7::text[], $8::text[], $9::timestamptz[]) \
             as proposed (payment_id, idempotency_key, order_id, amount_minor, currency_code, \
                 token_sha256, state, decline_reason, create_time) \
         order by idempotency_key \
         on conflict on constraint payments_idempotency_key_key do nothing \
         returning ",
        columns!()
    ))
    .bind(column(payments, |p| p.payment_id))
    .bind(column(payments, |p| p.idempotency_key.as_str()))
    .bind(asked(payments, |c| c.order_id))
    .bind(asked(payments, |c| c.amount.amount_minor))
    .bind(asked(payments, |c| c.amount.currency_code.as_str()))
    .bind(asked(payments, |c| c.token_hash.0.as_slice()))
    .bind(column(payments, |p| state(&p.decision)))
    .bind(column(payments, |p| decline_reason(&p.decision)))
    .bind(column(payments, |p| p.create_time))
    .fetch_all(conn)
    .await
}

/// The payments of the keys that are decided, in no order.
pub async fn by_keys(conn: &mut PgConnection, keys: &[&str]) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from payments where idempotency_key = any($1)"
    ))
    .bind(keys)
    .fetch_all(conn)
    .await
}

/// The payment with this id.
pub async fn by_id(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from payments where payment_id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// The payment of a key that is decided, locked until the transaction ends.
pub async fn lock_by_key(conn: &mut PgConnection, key: &str) -> sqlx::Result<Payment> {
    sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from payments where idempotency_key = $1 for update"
    ))
    .bind(key)
    .fetch_one(conn)
    .await
}

/// The payment with this id, locked until the transaction ends.
pub async fn lock_by_id(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from payments where payment_id = $1 for update"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Payments older than `before`, newest first.
pub async fn list(
    conn: &mut PgConnection,
    before: Option<PaymentId>,
    limit: i64,
) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from payments where payment_id < $1 order by payment_id desc limit $2"
    ))
    // A bound that is always there, so that a deep page starts in the index where it
    // begins; with "$1 is null or" it reads over all newer rows.
    .bind(before.unwrap_or(PaymentId(Uuid::max())))
    .bind(limit)
    .fetch_all(conn)
    .await
}

impl FromRow<'_, PgRow> for Payment {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            payment_id: row.try_get("payment_id")?,
            idempotency_key: row.try_get("idempotency_key")?,
            decision: decision(row)?,
            create_time: row.try_get("create_time")?,
        })
    }
}

fn decision(row: &PgRow) -> sqlx::Result<Decision> {
    match row.try_get("state")? {
        "CHARGED" => charge(row).map(Decision::Charged),
        "REFUNDED" => charge(row).map(Decision::Refunded),
        "DECLINED" => Ok(Decision::Declined {
            charge: charge(row)?,
            reason: row.try_get("decline_reason")?,
        }),
        "CANCELLED" => Ok(Decision::Cancelled),
        unknown => Err(sqlx::Error::Decode(
            format!("unknown payment state {unknown}").into(),
        )),
    }
}

fn charge(row: &PgRow) -> sqlx::Result<Charge> {
    Ok(Charge {
        order_id: row.try_get("order_id")?,
        amount: money(row)?,
        token_hash: TokenHash(row.try_get("token_sha256")?),
    })
}

fn money(row: &PgRow) -> sqlx::Result<Money> {
    Ok(Money {
        currency_code: row.try_get("currency_code")?,
        amount_minor: row.try_get("amount_minor")?,
    })
}

fn state(decision: &Decision) -> &'static str {
    match decision {
        Decision::Charged(_) => "CHARGED",
        Decision::Declined { .. } => "DECLINED",
        Decision::Refunded(_) => "REFUNDED",
        Decision::Cancelled => "CANCELLED",
    }
}

fn decline_reason(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Declined { reason, .. } => Some(reason),
        _ => None,
    }
}

fn column<'a, T>(payments: &'a [Payment], value: impl Fn(&'a Payment) -> T) -> Vec<T> {
    payments.iter().map(value).collect()
}

/// A column that is null in tombstones.
fn asked<'a, T>(payments: &'a [Payment], value: impl Fn(&'a Charge) -> T) -> Vec<Option<T>> {
    column(payments, |payment| payment.decision.charge().map(&value))
}
