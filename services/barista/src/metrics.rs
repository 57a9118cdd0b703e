//! What an operator should see of drinks.
//!
//! What is in hand and what was brewed are of this process; what waits is of the whole database,
//! which every instance measures: take the greatest, not the sum. Instruments are made when first
//! used, from the process's meter provider, and do nothing if it has none.

use crate::{brewing::Round, store};
use lifecycle::{
    Stop,
    postgres::{acquire, bounded},
};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use sqlx::PgPool;
use std::{sync::LazyLock, time::Duration};
use telemetry::semconv::metrics::{DRINKS_BREWED, DRINKS_LEASED, DRINKS_WAITING};
use tokio::time::{Instant, sleep};

/// The least time between two looks at the queue.
const PAUSE: Duration = Duration::from_secs(1);
/// A look at a long queue takes longer. It gets no more than this part of the time.
const SHARE: u32 = 20;
/// The most drinks that are counted.
const COUNTED: i64 = 10_000;

static DRINKS: LazyLock<Drinks> = LazyLock::new(Drinks::new);

struct Drinks {
    waiting: Gauge<u64>,
    leased: Gauge<u64>,
    brewed: Counter<u64>,
}

impl Drinks {
    fn new() -> Self {
        let meter = global::meter("coffeeshop.barista");
        Self {
            waiting: DRINKS_WAITING.gauge(&meter),
            leased: DRINKS_LEASED.gauge(&meter),
            brewed: DRINKS_BREWED.counter(&meter),
        }
    }
}

/// What a round did, and how many drinks it left in hand.
pub(crate) fn round(round: &Round, in_hand: usize) {
    DRINKS.leased.record(in_hand as u64, &[]);
    // Also none: a rate needs a zero to rise from.
    for (outcome, drinks) in [("booked", round.booked), ("too_late", round.too_late)] {
        let outcome = [KeyValue::new("coffeeshop.outcome", outcome)];
        DRINKS.brewed.add(drinks as u64, &outcome);
    }
}

/// Counts what waits until it is told to stop.
///
/// # Errors
/// None today: what cannot be counted is not measured.
pub(crate) async fn watch(pool: PgPool, stop: Stop) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let begin = Instant::now();
        let look = bounded(async {
            let mut conn = acquire(&pool).await?;
            store::count_waiting(&mut conn, COUNTED).await
        });
        match stop.run_until_cancelled(look).await {
            None => break,
            Some(Ok(drinks)) => DRINKS.waiting.record(drinks, &[]),
            // The workforce itself says that the database is away.
            Some(Err(error)) => tracing::debug!(%error, "the queue is not counted"),
        }
        let pause = PAUSE.max(begin.elapsed() * SHARE);
        stop.run_until_cancelled(sleep(pause)).await;
    }
    Ok(())
}
