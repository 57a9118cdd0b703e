//! The statements. Each writes its share of a whole chunk of orders, in the states in which the
//! services leave an order that nothing happened to.
//!
//! `o` are the orders, numbered from 1, `m` is the menu, numbered likewise: they order it in turn.
//! When an order was placed is what its id says.

use anyhow::Result;
use futures::future;
use sqlx::{PgPool, Postgres, Transaction};

use super::orders::{Ids, Menu};
use crate::books::Ledgers;

const ORDERS: &str = "\
    insert into orders (order_id, request_id, request_hash, customer_name, items, currency_code, \
        total_minor, state, revision, payment_state, payment_id, refund_state, cancel_state, \
        ticket_revision, settle_time, traceparent, create_time, update_time, ready_time) \
    select o.order_id, o.order_id, sha256(uuid_send(o.order_id)), 'Ada', m.items, 'EUR', \
        m.total_minor, 'READY', 4, 'CHARGED', o.payment_id, 'NOT_NEEDED', 'NOT_REQUESTED', \
        3, t.placed + interval '10 s', \
        '00-' || encode(uuid_send(o.order_id), 'hex') || '-00f067aa0ba902b7-01', \
        t.placed, t.placed + interval '5 s', t.placed + interval '5 s' \
    from unnest($1::uuid[], $2::uuid[]) with ordinality as o (order_id, payment_id, n) \
    cross join lateral (select uuid_extract_timestamp(o.order_id)) as t (placed) \
    join unnest($3::jsonb[], $4::bigint[]) with ordinality as m (items, total_minor, n) \
        on m.n = 1 + o.n % cardinality($4)";

const ORDER_HISTORY: &str = "\
    insert into order_history (order_id, revision, state, time, detail) \
    select o.order_id, h.revision, h.state, uuid_extract_timestamp(o.order_id) + h.after, h.detail \
    from unnest($1::uuid[]) as o (order_id), \
        (values (1, 'AWAITING_PAYMENT', interval '0 s', 'placed'), \
                (2, 'PAID', interval '0.01 s', 'charged'), \
                (3, 'PREPARING', interval '1 s', 'first drink started'), \
                (4, 'READY', interval '5 s', 'last drink booked')) \
            as h (revision, state, after, detail)";

const TICKETS: &str = "\
    insert into tickets (order_id, state, revision, order_revision, drinks_total, drinks_made, \
        traceparent, create_time, update_time) \
    select o.order_id, 'READY', 3, 2, 1, 1, \
        '00-' || encode(uuid_send(o.order_id), 'hex') || '-00f067aa0ba902b7-01', \
        t.placed + interval '0.02 s', t.placed + interval '5 s' \
    from unnest($1::uuid[]) as o (order_id) \
    cross join lateral (select uuid_extract_timestamp(o.order_id)) as t (placed)";

const TICKET_HISTORY: &str = "\
    insert into ticket_history (order_id, revision, state, time) \
    select o.order_id, h.revision, h.state, uuid_extract_timestamp(o.order_id) + h.after \
    from unnest($1::uuid[]) as o (order_id), \
        (values (1, 'QUEUED', interval '0.02 s'), (2, 'STARTED', interval '1 s'), \
                (3, 'READY', interval '5 s')) as h (revision, state, after)";

const DRINKS: &str = "\
    insert into drinks (order_id, line, unit, drink, size, skill, brew_time_ms, state, attempt, \
        barista_id, start_time, made_time) \
    select o.order_id, 0, 0, m.drink, m.size, r.skill, r.brew_time_ms, 'MADE', 1, 'ada', \
        t.placed + interval '1 s', t.placed + interval '5 s' \
    from unnest($1::uuid[]) with ordinality as o (order_id, n) \
    cross join lateral (select uuid_extract_timestamp(o.order_id)) as t (placed) \
    join unnest($2::text[], $3::text[]) with ordinality as m (drink, size, n) \
        on m.n = 1 + o.n % cardinality($2) \
    join recipes r using (drink, size)";

const PAYMENTS: &str = "\
    insert into payments (payment_id, idempotency_key, order_id, amount_minor, currency_code, \
        token_sha256, state, create_time) \
    select o.payment_id, o.order_id::text, o.order_id, m.total_minor, 'EUR', \
        sha256('tok_visa'), 'CHARGED', uuid_extract_timestamp(o.payment_id) \
    from unnest($1::uuid[], $2::uuid[]) with ordinality as o (order_id, payment_id, n) \
    join unnest($3::bigint[]) with ordinality as m (total_minor, n) \
        on m.n = 1 + o.n % cardinality($3)";

/// Stores orders in all three databases. Returns how many.
pub(super) async fn store(ledgers: &Ledgers, menu: &Menu, ids: Ids) -> sqlx::Result<u64> {
    // All of them, also if one fails: the others are not to be left halfway.
    let (reception, barista, payments) = future::join3(
        at_reception(&ledgers.reception, menu, &ids),
        at_barista(&ledgers.barista, menu, &ids),
        at_payments(&ledgers.payments, menu, &ids),
    )
    .await;
    let stored = reception?;
    barista?;
    payments?;
    // Crash here: or rather anywhere between the three commits. Some of the databases have the
    // chunk, and the books say so.
    Ok(stored)
}

async fn at_reception(pool: &PgPool, menu: &Menu, ids: &Ids) -> sqlx::Result<u64> {
    let mut tx = begin(pool).await?;
    let stored = sqlx::query(ORDERS)
        .bind(&ids.orders)
        .bind(&ids.payments)
        .bind(&menu.items)
        .bind(&menu.totals)
        .execute(&mut *tx)
        .await?;
    sqlx::query(ORDER_HISTORY)
        .bind(&ids.orders)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(stored.rows_affected())
}

async fn at_barista(pool: &PgPool, menu: &Menu, ids: &Ids) -> sqlx::Result<()> {
    let mut tx = begin(pool).await?;
    for statement in [TICKETS, TICKET_HISTORY] {
        sqlx::query(statement)
            .bind(&ids.orders)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(DRINKS)
        .bind(&ids.orders)
        .bind(&menu.drinks)
        .bind(&menu.sizes)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

async fn at_payments(pool: &PgPool, menu: &Menu, ids: &Ids) -> sqlx::Result<()> {
    let mut tx = begin(pool).await?;
    sqlx::query(PAYMENTS)
        .bind(&ids.orders)
        .bind(&ids.payments)
        .bind(&menu.totals)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Nobody was told of these orders: they may be lost with the server, and need not wait for its disk.
async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await?;
    sqlx::query("set local synchronous_commit = off")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// Gives the planner its figures, and each page its marks.
pub(super) async fn vacuum(ledgers: &Ledgers) -> Result<()> {
    let vacuum = |pool, statement| sqlx::query(statement).execute(pool);
    future::try_join3(
        vacuum(&ledgers.reception, "vacuum (analyze) orders, order_history"),
        vacuum(
            &ledgers.barista,
            "vacuum (analyze) tickets, ticket_history, drinks",
        ),
        vacuum(&ledgers.payments, "vacuum (analyze) payments"),
    )
    .await?;
    Ok(())
}
