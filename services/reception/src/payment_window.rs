//! Ending orders that are not paid in time.
//!
//! Problem: while the provider is away an order could wait for hours, and be charged and made
//! long after its customer has left.
//! Guarantee: an order that is AWAITING_PAYMENT for longer than the window is CANCELLED,
//! whether or not the provider can be asked. A charge may be in flight then, so closing its
//! key is owed from the same transaction on, and `settle` does it: nothing was charged and
//! nothing ever will be, or the money goes back.
//! Not guaranteed: that nobody is charged after the window. It is the key that ends a charge,
//! not the clock. Nor the moment: an order is measured by the clock of the instance that
//! looks, stamped by that of the one that placed it.
//!
//! Any number of instances may run: each passes over what another has locked.

use crate::{
    change::{self, Change},
    metrics,
    order::{Event, OrderId},
    store::unpaid,
};
use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use lifecycle::{Stop, postgres::bounded};
use messaging::outbox::Waker;
use sqlx::PgPool;
use std::time::Duration;

/// Orders taken at a time.
const BATCH: i64 = 200;
/// Between two looks when no order's time is over.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an order may wait to be paid.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How long an order may be AWAITING_PAYMENT. After that it is CANCELLED, and what was
    /// charged for it all the same goes back.
    #[arg(long, env = "PAYMENT_WINDOW", default_value = "15min", value_parser = humantime::parse_duration)]
    pub payment_window: Duration,
}

/// Ends orders that are not paid in time.
pub struct PaymentWindow {
    pool: PgPool,
    waker: Waker,
    window: Duration,
}

impl PaymentWindow {
    /// A window through which nobody has looked yet.
    ///
    /// # Errors
    /// It is over before a charge of `charge_timeout` is.
    pub fn new(
        pool: &PgPool,
        waker: &Waker,
        options: &Options,
        charge_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let window = options.payment_window;
        ensure!(
            window > charge_timeout,
            "PAYMENT_WINDOW ({window:?}) is over before CHARGE_TIMEOUT ({charge_timeout:?}): \
             orders would be cancelled while they are charged, and the money given back"
        );
        let (pool, waker) = (pool.clone(), waker.clone());
        Ok(Self {
            pool,
            waker,
            window,
        })
    }

    /// Cancels a batch of orders whose time to pay is over. Returns how many.
    ///
    /// # Errors
    /// What the database answers. None of them was cancelled then, or not surely.
    pub async fn close(&self) -> sqlx::Result<usize> {
        let Some(until) = self.until(change::now()) else {
            return Ok(0);
        };
        let mut tx = self.pool.begin().await?;
        let unpaid = unpaid::lock(&mut tx, until, BATCH).await?;
        if unpaid.is_empty() {
            return Ok(0);
        }
        let changes: Vec<Change> = unpaid.into_iter().map(over).collect();
        change::apply(&mut tx, &changes).await?;
        // Crash here: all of them still wait to be paid; whoever looks next cancels them.
        tx.commit().await?;
        // Crash here: they are cancelled, and owe what `settle` finds.
        self.waker.wake();
        for change in &changes {
            tracing::info!(order.id = %change.order_id, "cancelled: the time to pay is over");
        }
        metrics::windows_over(changes.len());
        Ok(changes.len())
    }

    /// Whoever has placed an order by then has had their time; nobody, if the window is
    /// longer than the calendar.
    fn until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        now.checked_sub_signed(TimeDelta::from_std(self.window).ok()?)
    }

    /// Looks until it is told to stop.
    ///
    /// # Errors
    /// None today: a database that is away is tried again.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match stop.run_until_cancelled(bounded(self.close())).await {
                None => break,
                Some(Ok(closed)) if closed > 0 => continue,
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::warn!(%error, "unpaid orders are not cancelled yet"),
            }
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
        Ok(())
    }
}

fn over((order_id, trace): (OrderId, telemetry::propagation::TraceContext)) -> Change {
    Change {
        order_id,
        event: Event::WindowOver,
        ticket_revision: None,
        trace,
    }
}
