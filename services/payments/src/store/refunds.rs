//! Giving money back. The caller has locked the payment.

use super::money;
use crate::payment::{Payment, PaymentId, Refund};
use planted::Bug;
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};

/// Gives back what a payment took, and returns the payment after it. None if another
/// refund has the key: nothing is given back.
pub async fn give_back(
    conn: &mut PgConnection,
    refund: &Refund,
) -> sqlx::Result<Option<(Refund, Payment)>> {
    let Some(refund) = insert(conn, refund).await? else {
        return Ok(None);
    };
    let payment = mark_refunded(conn, refund.payment_id).await?;
    Ok(Some((refund, payment)))
}

/// Of two transactions that insert the same key, for two payments, the second waits here
/// until the first is over.
async fn insert(conn: &mut PgConnection, refund: &Refund) -> sqlx::Result<Option<Refund>> {
    sqlx::query_as(
        "insert into refunds (refund_id, idempotency_key, payment_id, amount_minor, \
             currency_code, reason, create_time) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict on constraint refunds_idempotency_key_key do nothing \
         returning refund_id, idempotency_key, payment_id, amount_minor, currency_code, reason, \
             create_time",
    )
    .bind(refund.refund_id)
    .bind(&refund.idempotency_key)
    .bind(refund.payment_id)
    .bind(refund.amount.amount_minor)
    .bind(&refund.amount.currency_code)
    .bind(&refund.reason)
    .bind(refund.create_time)
    .fetch_optional(conn)
    .await
}

/// An error if it is not charged: then its refund is rolled back with it.
async fn mark_refunded(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Payment> {
    sqlx::query_as(planted::swap(
        Bug::RefundTwice,
        "and state = 'CHARGED'",
        "",
        concat!(
            "update payments set state = 'REFUNDED', refunded_minor = amount_minor \
             where payment_id = $1 and state = 'CHARGED' returning ",
            columns!()
        ),
    ))
    .bind(id)
    .fetch_one(conn)
    .await
}

/// The refund with this key.
pub async fn refund_by_key(conn: &mut PgConnection, key: &str) -> sqlx::Result<Option<Refund>> {
    sqlx::query_as(
        "select refund_id, idempotency_key, payment_id, amount_minor, currency_code, reason, \
             create_time \
         from refunds where idempotency_key = $1",
    )
    .bind(key)
    .fetch_optional(conn)
    .await
}

impl FromRow<'_, PgRow> for Refund {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            refund_id: row.try_get("refund_id")?,
            idempotency_key: row.try_get("idempotency_key")?,
            payment_id: row.try_get("payment_id")?,
            amount: money(row)?,
            reason: row.try_get("reason")?,
            create_time: row.try_get("create_time")?,
        })
    }
}
