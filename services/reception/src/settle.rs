//! Settling what orders owe the provider.
//!
//! That is the charge that PlaceOrder left undecided, the key to be closed of an order that
//! ended before anybody knew, and the money to be given back. A sweeper takes orders that owe
//! a call which is due, makes it, and records the decision. Any number of sweepers may run:
//! each takes orders on a lease, and keys make repeats harmless. None is
//! taken while the provider's circuit is open, and no more than may probe while it is
//! half-open: an order taken in vain waits for longer.
//!
//! What an order owes may change between taking and asking: a charge is sent for an order that
//! was cancelled since. The provider serializes the two by their key. Charged first, closing
//! gives the money back; closed first, the charge is refused, which is a decision too. Either
//! way the order's rules decide what a decision means where the order stands by then.

// What is not settled, in figures.
mod watch;

pub use watch::watch;

use crate::{
    change::Changed,
    counter::Counter,
    metrics::{self, Outcome},
    order::{Event, OrderId},
    payment::{self, Charge, Payments, Refund},
    place_order::record,
    store::owed::{self, Owed, Unsettled},
};
use futures::{StreamExt as _, stream};
use lifecycle::{
    Stop, patiently,
    postgres::{PATIENCE, acquire, bounded},
};
use std::time::Duration;
use telemetry::propagation::TraceContext;
use tracing::Instrument as _;

/// Orders taken at a time, all of which are asked about at once: one that waited for its turn
/// could be due again before it comes.
const BATCH: usize = 32;
/// Between two looks when nothing is due.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two tries of one order.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a stopping process grants a sweep. What it drops is as after a crash.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Takes what is due, if the provider's circuit lets anything through, and asks the provider
/// about each. Returns how many were taken.
///
/// # Errors
/// What the database answers when orders are taken. An order that cannot be settled
/// is logged and comes again.
pub async fn sweep_once(counter: &Counter) -> sqlx::Result<usize> {
    let room = counter.payments.breaker().room();
    // No other sweeper may take an order while its call is under way.
    let lease = counter.payments.longest_call();
    let due = bounded(async {
        let mut conn = acquire(&counter.pool).await?;
        owed::claim(&mut conn, BATCH.min(room), lease).await
    })
    .await?;
    let taken = due.len();
    stream::iter(due)
        .for_each_concurrent(BATCH, |order| {
            let span = tracing::info_span!(
                "settle",
                coffeeshop.order.id = %order.order_id,
                coffeeshop.settle.call = name(&order.owed),
            );
            order.trace.set_as_parent(&span);
            settle(counter, order).instrument(span)
        })
        .await;
    Ok(taken)
}

/// Crash anywhere here: the order owes what it owed, and is taken again when its put-off is
/// over. If the provider had decided, it says the same then.
async fn settle(counter: &Counter, order: Unsettled) {
    let call = name(&order.owed);
    let (order_id, attempt) = (order.order_id, order.attempt);
    let decided = ask(&counter.payments, &order).await;
    let outcome = match decided {
        Ok(decision) => recorded(counter, order, decision).await,
        Err(error) => payment::log(order_id, &error, "not settled yet"),
    };
    metrics::settled(call, outcome);
    if matches!(outcome, Outcome::Undecided | Outcome::Senseless) {
        put_off(counter, order_id, attempt).await;
    }
}

/// What failed soon is tried again soon: the lease was for the longest call.
async fn put_off(counter: &Counter, order_id: OrderId, attempt: i32) {
    let put_off = bounded(async {
        let mut conn = acquire(&counter.pool).await?;
        owed::put_off(&mut conn, order_id, attempt, LONGEST_PAUSE).await
    });
    if let Err(error) = put_off.await {
        tracing::debug!(coffeeshop.order.id = %order_id, %error, "comes again when its lease is over");
    }
}

async fn ask(payments: &Payments, order: &Unsettled) -> Result<Event, payment::Error> {
    let (order_id, amount_minor) = (order.order_id, order.total_minor);
    let currency_code = order.currency_code.clone();
    match order.owed.clone() {
        Owed::Charge { payment_token } => {
            let charge = Charge {
                order_id,
                amount_minor,
                currency_code,
                payment_token,
            };
            payments.charge(charge, Duration::MAX).await
        }
        Owed::Cancel => payments.cancel(order_id).await,
        Owed::Refund { payment_id } => {
            let refund = Refund {
                order_id,
                payment_id,
                amount_minor,
                currency_code,
            };
            payments.refund(refund).await
        }
    }
}

fn name(owed: &Owed) -> &'static str {
    match owed {
        Owed::Charge { .. } => "charge",
        Owed::Cancel => "cancel",
        Owed::Refund { .. } => "refund",
    }
}

async fn recorded(counter: &Counter, order: Unsettled, decision: Event) -> Outcome {
    let order_id = order.order_id;
    let outcome = Outcome::of(&decision);
    let trace = TraceContext::current().or(order.trace);
    match record(counter, order_id, decision, trace, PATIENCE).await {
        Ok(Changed::Applied(order)) => {
            let (state, refund) = (order.state.as_str(), order.refund.as_str());
            tracing::info!(coffeeshop.order.id = %order_id, state, refund, "settled");
            outcome
        }
        Ok(Changed::Absorbed(_)) => Outcome::Absorbed,
        Ok(Changed::Refused(illegal)) => {
            tracing::error!(coffeeshop.order.id = %order_id, %illegal, "the provider contradicts itself");
            Outcome::Senseless
        }
        Ok(Changed::Unknown) => {
            tracing::error!(coffeeshop.order.id = %order_id, "the order is gone");
            Outcome::Senseless
        }
        Err(error) => {
            tracing::warn!(coffeeshop.order.id = %order_id, %error, "decision not recorded yet");
            Outcome::Undecided
        }
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
            Err(error) => tracing::warn!(%error, "what is not settled waits"),
        }
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        stop.run_until_cancelled(counter.payments.breaker().until_probe())
            .await;
    }
    Ok(())
}
