//! Waiting until nothing is in flight, and the end of a shop: the books are checked.

use std::fs;

use anyhow::{Context as _, Result};
use sqlx::PgPool;

use super::{Shop, eventually, topics};
use crate::services::Service;

const IN_FLIGHT: &str = "select count(*) from orders \
    where state in ('AWAITING_PAYMENT', 'PAID', 'PREPARING') or refund_state = 'PENDING'";
const IN_THE_MAKING: &str = "select count(*) from tickets where state in ('QUEUED', 'STARTED')";
/// Counts the events of an outbox that are not published yet.
pub const UNSENT: &str = "select count(*) from outbox o join outbox_parts p using (part) \
    where (o.xid, o.seq) > (p.cursor_xid, p.cursor_seq)";

/// What is not done yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Orders that are neither READY nor over, or whose money is due.
    pub orders: i64,
    /// Tickets that are neither READY nor over.
    pub tickets: i64,
    /// Events that are not published yet.
    pub events_of_reception: i64,
    /// The same of the barista.
    pub events_of_barista: i64,
}

impl Shop {
    /// Waits until every order is over or READY, no refund is owed, and every event is published. Patience begins anew
    /// whenever something has moved: a backlog takes its time.
    pub async fn until_idle(&self) {
        let mut left = None;
        while left != Some(InFlight::default()) {
            let moved = async || match self.in_flight().await {
                Ok(now) if left != Some(now) => Ok(now),
                other => Err(other),
            };
            left = Some(eventually("the shop to be idle, or to move", moved).await);
        }
    }

    /// What is not done yet.
    pub async fn in_flight(&self) -> sqlx::Result<InFlight> {
        let (reception, barista) = (&self.databases.reception.pool, &self.databases.barista.pool);
        let (orders, tickets, events_of_reception, events_of_barista) = tokio::try_join!(
            count(reception, IN_FLIGHT),
            count(barista, IN_THE_MAKING),
            count(reception, UNSENT),
            count(barista, UNSENT),
        )?;
        Ok(InFlight {
            orders,
            tickets,
            events_of_reception,
            events_of_barista,
        })
    }

    /// Waits until the shop is idle, checks the books, ends the services, and leaves nothing behind.
    ///
    /// # Panics
    /// Something is wrong: in the books, or in how a service ended.
    pub async fn close(mut self) {
        self.closed = true;
        self.until_idle().await;
        let books = self.books(true).await.expect("the databases are up");
        assert!(books.findings.is_empty(), "the books are wrong:\n{books}");
        self.remove()
            .await
            .unwrap_or_else(|error| panic!("the shop does not close: {error:#}"));
    }

    /// Ends a shop whose books are wrong on purpose, or that was never whole.
    pub async fn discard(mut self) {
        self.closed = true;
        self.remove()
            .await
            .unwrap_or_else(|error| panic!("the shop does not close: {error:#}"));
    }

    /// Ends a shop that has servers of its own, and these. An error if a service did not end well.
    pub async fn finish(mut self) -> Result<()> {
        self.closed = true;
        self.stop_services().await?;
        self.servers.end().await
    }

    /// The same at once, in whatever state it is: paused, broken, half gone.
    pub async fn abandon(mut self) -> Result<()> {
        self.closed = true;
        for service in Service::ALL {
            // An error says that it does not run.
            let _ = self.service(service).kill9().await;
        }
        // Stopped, it would not hear that it is to end.
        self.servers.postgres.resume().await?;
        self.servers.end().await
    }

    /// Ends its services in good order. An error if one did not end well.
    pub(crate) async fn stop_services(&self) -> Result<()> {
        tokio::try_join!(
            self.reception.stop(),
            self.barista.stop(),
            self.payments.stop()
        )?;
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        self.stop_services().await?;
        let topics = topics::delete(&self.servers, [self.orders_topic(), self.tickets_topic()]);
        tokio::try_join!(self.databases.drop(&self.servers), topics)?;
        if self.logs.is_dir() {
            fs::remove_dir_all(&self.logs).context("cannot delete the logs")?;
        }
        Ok(())
    }
}

async fn count(pool: &PgPool, question: &'static str) -> sqlx::Result<i64> {
    sqlx::query_scalar(question).fetch_one(pool).await
}
