//! A barista whose every step the test calls, while payments and reception run: whatever races in a
//! shop happens here in the order that is asked for.

use crate::{
    handlers,
    post::{process_until, relay_of},
};
use barista::{
    events::Orders,
    store::{self, Lease, Terms},
};
use messaging::{inbox::Inbox, relay::Relay};
use proto::reception::v1::{Order, OrderState};
use shop::{
    customers::latte,
    harness::{Shop, UNSENT, eventually},
};
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

/// Hears, works and tells when it is told to.
pub struct ByHand {
    pub shop: Shop,
    pub pool: PgPool,
    inbox: Inbox<Orders>,
    relay: Relay,
}

impl ByHand {
    pub async fn open() -> Self {
        let shop = handlers::without_orders().await;
        shop.payments.start().await.expect("it starts");
        shop.reception.start().await.expect("it starts");
        let (pool, topic) = (shop.barista_pool(), shop.tickets_topic());
        Self {
            inbox: handlers::orders(&shop),
            relay: relay_of(&shop, &pool, &topic, Duration::from_secs(30)),
            pool,
            shop,
        }
    }

    /// An order that is PAID, of which the barista has not heard yet.
    pub async fn paid(&self) -> Order {
        let order = self.shop.place(latte()).await;
        assert_eq!(order.state(), OrderState::Paid);
        order
    }

    /// The same, and the barista has queued it.
    pub async fn queued(&mut self) -> Order {
        let order = self.paid().await;
        self.hear().await;
        assert_eq!(self.ticket(&order).await, ("QUEUED".to_owned(), 1, false));
        order
    }

    /// Hears the next thing that it has to act on.
    pub async fn hear(&mut self) {
        process_until(&mut self.inbox, |processed| processed.done > 0).await;
    }

    /// Tells all that is to be told.
    pub async fn tell(&mut self) {
        let (relay, pool) = (&mut self.relay, &self.pool);
        eventually("everything to be told", async || {
            relay.publish_batch().await.expect("all are up");
            match crate::count(pool, UNSENT).await {
                0 => Ok(()),
                unsent => Err(unsent),
            }
        })
        .await;
    }

    /// Takes what waits.
    pub async fn take(&self) -> Vec<Lease> {
        take(&self.pool).await
    }

    /// Books a drink. Returns whether it was in time.
    pub async fn book(&self, lease: &Lease) -> bool {
        let mut tx = self.pool.begin().await.expect("the database is up");
        let booked = store::book_drinks(&mut tx, std::slice::from_ref(lease)).await;
        let booked = booked.expect("too late is no error");
        tx.commit().await.expect("the database is up");
        booked == [true]
    }

    /// State and revision of an order's ticket, and whether it refuses to be cancelled.
    pub async fn ticket(&self, order: &Order) -> (String, i64, bool) {
        let order_id: Uuid = order.order_id.parse().expect("it is ours");
        ticket(&self.pool, order_id).await
    }

    pub async fn close(self) {
        self.shop.close().await;
    }
}

/// Takes what waits, as one process.
pub async fn take(pool: &PgPool) -> Vec<Lease> {
    let mut tx = pool.begin().await.expect("the database is up");
    let taken = store::take_drinks(&mut tx, &terms()).await;
    let taken = taken.expect("taking waits for nobody");
    tx.commit().await.expect("the database is up");
    taken
}

/// A process that takes drinks and has time.
pub fn terms() -> Terms {
    Terms {
        owner: Uuid::now_v7(),
        scale: 0.0,
        margin: Duration::from_secs(60),
        attempts: 5,
    }
}

/// State and revision of a ticket, and whether it refuses to be cancelled.
pub async fn ticket(pool: &PgPool, order_id: Uuid) -> (String, i64, bool) {
    sqlx::query_as("select state, revision, cancel_refused from tickets where order_id = $1")
        .bind(order_id)
        .fetch_one(pool)
        .await
        .expect("the ticket is there")
}
