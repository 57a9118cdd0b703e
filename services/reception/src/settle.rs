//! Settling what PlaceOrder left undecided.
//!
//! A sweeper takes orders that are AWAITING_PAYMENT for longer than a charge may
//! take, asks the provider with the same key, and records the decision. Any number
//! of sweepers may run: each takes orders by putting their next try off, and the key
//! makes even a double charge one. None is taken while the provider's circuit is open, and
//! no more than may probe while it is half-open: an order taken in vain waits for longer.

use crate::{
    change::Changed,
    counter::Counter,
    payment::Charge,
    place_order::record,
    store::{self, Unsettled},
};
use futures::{StreamExt as _, stream};
use lifecycle::{
    Stop, patiently,
    postgres::{PATIENCE, bounded},
};
use std::time::Duration;
use tracing::Instrument as _;

/// Orders taken at a time.
const BATCH: i64 = 64;
/// Charges in flight at a time.
const CONCURRENCY: usize = 8;
/// Between two looks when nothing is due.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two tries of one order.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a stopping process grants a sweep. What it drops is as after a crash.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Takes what is due, if the provider's circuit lets anything through, and asks the provider about each. Returns how many were taken.
///
/// # Errors
/// What the database answers when orders are taken. An order that cannot be settled
/// is logged and comes again.
pub async fn sweep_once(counter: &Counter) -> sqlx::Result<usize> {
    let room = counter.payments.breaker().room();
    let limit = i64::try_from(room).unwrap_or(BATCH).min(BATCH);
    let due = bounded(async {
        let mut conn = counter.pool.acquire().await?;
        store::claim_unsettled(&mut conn, limit, LONGEST_PAUSE).await
    })
    .await?;
    let taken = due.len();
    stream::iter(due)
        .for_each_concurrent(CONCURRENCY, |order| {
            let span = tracing::info_span!("settle", order.id = %order.order_id);
            order.trace().set_as_parent(&span);
            settle(counter, order).instrument(span)
        })
        .await;
    Ok(taken)
}

async fn settle(counter: &Counter, order: Unsettled) {
    let (order_id, trace) = (order.order_id, order.trace());
    let decision = match counter
        .payments
        .charge(Charge::from(order), Duration::MAX)
        .await
    {
        Ok(decision) => decision,
        Err(status) => {
            let (code, error) = (status.code(), status.message());
            tracing::warn!(order.id = %order_id, ?code, error, "charge still undecided");
            return;
        }
    };
    match record(counter, order_id, decision, trace, PATIENCE).await {
        Ok(Changed::Applied(order)) => {
            tracing::info!(order.id = %order_id, state = order.state.as_str(), "settled");
        }
        Ok(Changed::Absorbed(_)) => {}
        Ok(Changed::Refused(illegal)) => {
            tracing::error!(order.id = %order_id, %illegal, "the provider contradicts itself")
        }
        Ok(Changed::Unknown) => tracing::error!(order.id = %order_id, "the order is gone"),
        Err(error) => tracing::warn!(order.id = %order_id, %error, "decision not recorded yet"),
    }
}

/// Sweeps until it is told to stop.
///
/// # Errors
/// None today: a database that is away is tried again.
pub async fn run(counter: Counter, stop: Stop) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let Some(swept) = patiently(&stop, STOP_PATIENCE, sweep_once(&counter)).await else {
            break;
        };
        match swept {
            Ok(taken) if taken > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "undecided orders wait"),
        }
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        stop.run_until_cancelled(counter.payments.breaker().until_probe())
            .await;
    }
    Ok(())
}
