//! Ending orders that are not paid in time.
//!
//! Problem: while the provider is away an order could wait for hours, and be charged and made
//! long after its customer has left.
//! Guarantee: an order that is AWAITING_PAYMENT for longer than the window is CANCELLED,
//! whether or not the provider can be asked. A charge may be in flight then, so closing its
//! key is owed from the same transaction on, and `settle` does it: nothing was charged and
//! nothing ever will be, or the money goes back.
//! Not guaranteed: that nobody is charged after the window. It is the key that ends a charge,
//! not the clock. Nor any order behind a whole batch of orders that the database refuses to
//! change.
//!
//! Any number of instances may run, by whatever clock: time is the database's, and what one
//! has cancelled is over for the others.

use crate::{
    change::{self, Change, Changed},
    metrics,
    order::{Event, OrderId},
    store::unpaid,
};
use anyhow::ensure;
use lifecycle::{
    Stop,
    postgres::{acquire, begin, bounded},
};
use messaging::outbox::Waker;
use sqlx::PgPool;
use std::time::Duration;
use telemetry::{propagation::TraceContext, spans::belongs_to};

/// Orders taken at a time.
const BATCH: i64 = 200;
/// Longer than an order can have waited. Postgres has no time before its calendar.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
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
    /// It is over before a call to charge that may take up to `longest_charge` is.
    pub fn new(
        pool: &PgPool,
        waker: &Waker,
        options: &Options,
        longest_charge: Duration,
    ) -> anyhow::Result<Self> {
        let window = options.payment_window.min(FOR_EVER);
        ensure!(
            window > longest_charge,
            "PAYMENT_WINDOW ({window:?}) is over before a charge may be ({longest_charge:?}: \
             CALL_ATTEMPTS times CHARGE_TIMEOUT, and the pauses between): orders would be \
             cancelled while they are charged, and the money given back"
        );
        let (pool, waker) = (pool.clone(), waker.clone());
        Ok(Self {
            pool,
            waker,
            window,
        })
    }

    /// Cancels a batch of orders whose time to pay is over. Returns how many. One that the
    /// database refuses is logged, and does not keep the others from being cancelled.
    ///
    /// # Errors
    /// What the database answers. Some of them may be cancelled all the same.
    pub async fn close(&self) -> sqlx::Result<usize> {
        let mut conn = acquire(&self.pool).await?;
        let unpaid = unpaid::list(&mut conn, self.window, BATCH).await?;
        drop(conn);
        let changes: Vec<Change> = unpaid.into_iter().map(over).collect();
        match self.cancel(&changes).await {
            Err(error) if is_about_a_row(&error) => self.cancel_one_by_one(&changes).await,
            cancelled => cancelled,
        }
    }

    /// Cancels them all or none. Returns how many still waited to be paid.
    async fn cancel(&self, changes: &[Change]) -> sqlx::Result<usize> {
        if changes.is_empty() {
            return Ok(0);
        }
        let mut tx = begin(&self.pool).await?;
        let changed = change::apply(&mut tx, changes).await?;
        // Crash here: all of them still wait to be paid; whoever looks next cancels them.
        tx.commit().await?;
        // Crash here: they are cancelled, and owe what `settle` finds.
        self.waker.wake();
        let mut cancelled = 0;
        for (change, changed) in changes.iter().zip(changed) {
            let _trace = belongs_to(&change.trace);
            // An order that was decided since it was listed stays as it is.
            if let Changed::Applied(order) = changed {
                tracing::info!(coffeeshop.order.id = %order.order_id, "cancelled: the time to pay is over");
                cancelled += 1;
            }
        }
        metrics::windows_over(cancelled);
        Ok(cancelled)
    }

    async fn cancel_one_by_one(&self, changes: &[Change]) -> sqlx::Result<usize> {
        let mut cancelled = 0;
        for change in changes {
            match self.cancel(std::slice::from_ref(change)).await {
                Ok(one) => cancelled += one,
                Err(error) if is_about_a_row(&error) => {
                    let order_id = change.order_id;
                    let _trace = belongs_to(&change.trace);
                    tracing::error!(coffeeshop.order.id = %order_id, %error, "not cancelled, and not paid in time");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(cancelled)
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

/// Whether it is an answer, which another order may not get; not a database that is away.
fn is_about_a_row(error: &sqlx::Error) -> bool {
    use sqlx::Error::{ColumnDecode, Database, Decode};
    matches!(error, Database(_) | Decode(_) | ColumnDecode { .. })
}

fn over((order_id, trace): (OrderId, TraceContext)) -> Change {
    Change {
        order_id,
        event: Event::WindowOver,
        ticket_revision: None,
        trace,
    }
}
