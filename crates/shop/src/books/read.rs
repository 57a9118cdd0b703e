//! The rows of the three databases.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::{FromRow, PgPool, types::Json};
use uuid::Uuid;

use super::Ledgers;

/// All accounts of the same orders.
pub(super) struct Entries {
    /// Read first.
    pub(super) orders_before: HashMap<Uuid, Order>,
    pub(super) tickets: HashMap<Uuid, Ticket>,
    pub(super) payments: Vec<Payment>,
    /// Read last.
    pub(super) orders_after: HashMap<Uuid, Order>,
}

/// As reception stored it.
#[derive(FromRow)]
pub(super) struct Order {
    pub(super) order_id: Uuid,
    pub(super) state: String,
    pub(super) revision: i64,
    pub(super) total_minor: i64,
    pub(super) currency_code: String,
    pub(super) payment_state: String,
    pub(super) refund_state: String,
    pub(super) cancel_state: String,
    pub(super) items: Json<Vec<Item>>,
    #[sqlx(flatten)]
    pub(super) history: History,
}

/// A line of an order.
#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) drink: String,
    pub(super) size: String,
    pub(super) quantity: i32,
}

/// Revisions and the states after them, by revision.
#[derive(FromRow)]
pub(super) struct History {
    pub(super) revisions: Vec<i64>,
    pub(super) states: Vec<String>,
}

/// As the barista stored it.
#[derive(FromRow)]
pub(super) struct Ticket {
    pub(super) order_id: Uuid,
    pub(super) state: String,
    pub(super) revision: i64,
    #[sqlx(flatten)]
    pub(super) history: History,
    /// Those that are booked.
    #[sqlx(skip)]
    pub(super) made: Vec<Drink>,
}

/// A unit that was booked as made.
#[derive(FromRow)]
pub(super) struct Drink {
    order_id: Uuid,
    pub(super) line: i32,
    pub(super) unit: i32,
    pub(super) drink: String,
    pub(super) size: String,
}

/// As the provider stored it. Not of a key that was closed before it was charged: no money
/// ever moved with it.
#[derive(FromRow)]
pub(super) struct Payment {
    pub(super) order_id: Uuid,
    pub(super) idempotency_key: String,
    pub(super) amount_minor: i64,
    pub(super) currency_code: String,
    pub(super) state: String,
    pub(super) refunded_minor: i64,
    /// The sum of its refunds.
    pub(super) given_back_minor: i64,
}

impl Payment {
    /// What was charged, less what was given back.
    pub(super) fn kept_minor(&self) -> i64 {
        match self.state.as_str() {
            "CHARGED" | "REFUNDED" => self.amount_minor - self.given_back_minor,
            _ => -self.given_back_minor,
        }
    }
}

impl Entries {
    /// Reads what is about orders from this id on.
    pub(super) async fn read(ledgers: &Ledgers, first: Uuid) -> sqlx::Result<Self> {
        let orders_before = orders(&ledgers.reception, first).await?;
        let (tickets, payments) = tokio::try_join!(
            tickets(&ledgers.barista, first),
            payments(&ledgers.payments, first)
        )?;
        let orders_after = orders(&ledgers.reception, first).await?;
        Ok(Self {
            orders_before,
            tickets,
            payments,
            orders_after,
        })
    }
}

/// One statement sees one moment: an order and its history agree.
async fn orders(pool: &PgPool, first: Uuid) -> sqlx::Result<HashMap<Uuid, Order>> {
    let orders: Vec<Order> = sqlx::query_as(
        "select o.order_id, o.state, o.revision, o.total_minor, o.currency_code, \
             o.payment_state, o.refund_state, o.cancel_state, o.items, \
             coalesce(h.revisions, '{}') as revisions, coalesce(h.states, '{}') as states \
         from orders o left join ( \
             select order_id, array_agg(revision order by revision) as revisions, \
                    array_agg(state order by revision) as states \
             from order_history where order_id >= $1 group by order_id) h using (order_id) \
         where o.order_id >= $1",
    )
    .bind(first)
    .fetch_all(pool)
    .await?;
    Ok(orders
        .into_iter()
        .map(|order| (order.order_id, order))
        .collect())
}

/// Drinks are read after their tickets: what was booked in between is more, never less.
async fn tickets(pool: &PgPool, first: Uuid) -> sqlx::Result<HashMap<Uuid, Ticket>> {
    let tickets: Vec<Ticket> = sqlx::query_as(
        "select t.order_id, t.state, t.revision, \
             coalesce(h.revisions, '{}') as revisions, coalesce(h.states, '{}') as states \
         from tickets t left join ( \
             select order_id, array_agg(revision order by revision) as revisions, \
                    array_agg(state order by revision) as states \
             from ticket_history where order_id >= $1 group by order_id) h using (order_id) \
         where t.order_id >= $1",
    )
    .bind(first)
    .fetch_all(pool)
    .await?;
    let mut tickets: HashMap<Uuid, Ticket> = tickets
        .into_iter()
        .map(|ticket| (ticket.order_id, ticket))
        .collect();
    for drink in made(pool, first).await? {
        if let Some(ticket) = tickets.get_mut(&drink.order_id) {
            ticket.made.push(drink);
        }
    }
    Ok(tickets)
}

async fn made(pool: &PgPool, first: Uuid) -> sqlx::Result<Vec<Drink>> {
    sqlx::query_as(
        "select order_id, line, unit, drink, size from drinks \
         where state = 'MADE' and order_id >= $1",
    )
    .bind(first)
    .fetch_all(pool)
    .await
}

/// A charge is younger than its order, and so is its id, by which it is found.
async fn payments(pool: &PgPool, first: Uuid) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(
        "select p.order_id, p.idempotency_key, p.amount_minor, p.currency_code, p.state, \
             p.refunded_minor, coalesce(r.given_back_minor, 0)::bigint as given_back_minor \
         from payments p left join ( \
             select payment_id, sum(amount_minor) as given_back_minor \
             from refunds where payment_id >= $1 group by payment_id) r using (payment_id) \
         where p.state <> 'CANCELLED' and p.payment_id >= $1 and p.order_id >= $1",
    )
    .bind(first)
    .fetch_all(pool)
    .await
}
