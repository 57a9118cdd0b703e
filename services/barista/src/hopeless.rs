//! Giving up what cannot be made.
//!
//! Problem: an order is queued because somebody could make it, and then the last one with
//! the skill leaves, or each who begins one of its drinks is never done. It would wait for
//! ever, and its customer's money with it.
//! Guarantee: its ticket ends FAILED and says why, and reception gives the money back.
//! Not guaranteed: patience. A shift that changes in two transactions leaves nobody in
//! between, and what waits then is given up.
//!
//! Any number of instances may run.

use crate::store;
use lifecycle::{
    Stop,
    postgres::{begin, bounded},
};
use messaging::outbox::Waker;
use sqlx::PgPool;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Gives up the tickets of drinks that wait in vain. Returns how many.
///
/// # Errors
/// What the database answers. Nothing was given up then.
pub async fn give_up(pool: &PgPool, attempts: i32) -> sqlx::Result<usize> {
    let mut tx = begin(pool).await?;
    let hopeless = store::lock_hopeless(&mut tx, attempts).await?;
    let given_up = store::end(&mut tx, hopeless).await?.len();
    // Crash here: they still wait; whoever looks next gives them up.
    tx.commit().await?;
    Ok(given_up)
}

/// Looks until it is told to stop.
///
/// # Errors
/// None today: a database that is away is tried again.
pub async fn run(pool: PgPool, attempts: i32, relay: Waker, stop: Stop) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        match stop
            .run_until_cancelled(bounded(give_up(&pool, attempts)))
            .await
        {
            None => break,
            Some(Ok(0)) => {}
            Some(Ok(tickets)) => {
                relay.wake();
                tracing::warn!(tickets, "gave up what nobody can make");
            }
            Some(Err(error)) => tracing::warn!(%error, "what cannot be made is not given up yet"),
        }
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    Ok(())
}
