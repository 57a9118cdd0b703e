//! How many orders are not settled, as gauges: seen before a customer tells.

use crate::{metrics, store::owed};
use lifecycle::{
    Stop,
    postgres::{acquire, bounded},
};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The least time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A look at many takes longer. It gets no more than this part of the time.
const SHARE: u32 = 20;
/// The most orders that are counted.
const COUNTED: i64 = 10_000;

/// Measures until it is told to stop.
///
/// # Errors
/// None today: what cannot be counted is not measured.
pub async fn watch(pool: PgPool, stop: Stop) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let begin = Instant::now();
        let look = bounded(async {
            let mut conn = acquire(&pool).await?;
            owed::count(&mut conn, COUNTED).await
        });
        match stop.run_until_cancelled(look).await {
            None => break,
            Some(Ok(counts)) => metrics::unsettled(counts),
            // The sweeper itself says that the database is away.
            Some(Err(error)) => tracing::debug!(%error, "what is not settled is not counted"),
        }
        let pause = PAUSE.max(begin.elapsed() * SHARE);
        stop.run_until_cancelled(sleep(pause)).await;
    }
    Ok(())
}
