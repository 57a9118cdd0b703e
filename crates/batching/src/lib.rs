//! One transaction for whatever waits.
//!
//! Problem: a COMMIT waits for the disk, and a statement costs more to send and plan
//! than a row costs to write. A transaction per call pays both for every row.
//! Guarantee: a caller is answered after the COMMIT that holds its item, and told what
//! is known: committed, not committed, or unknown. One bad item does not fail the
//! others: a batch that is refused is tried again item by item.
//! Not guaranteed: order. Two committers run side by side.
//!
//! ```text
//!  submit ─▶ bounded queue ─▶ committer: take what waits, up to 64 ─▶ begin ▸ apply ▸ commit ─▶ answers
//! ```
//!
//! The batching is natural: a committer that is free takes what is there. An idle shop
//! commits items one at a time without delay, a busy one in batches, and there is no
//! timer to tune.

// Taking what waits and committing it.
mod committer;
// An item between its caller and its committer.
mod waiting;

pub use committer::Committer;

use sqlx::{PgConnection, PgPool};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use waiting::Waiting;

/// What is done with a batch.
pub trait Work: Send + Sync + 'static {
    /// What one caller wants.
    type Item: Send + Sync + 'static;
    /// What it is told.
    type Answer: Send + 'static;

    /// Does the work of a batch in the given transaction: one answer each, in the same
    /// sequence. Batches of several processes overlap: whoever touches rows that others
    /// may touch does so ordered by key, or two batches wait for each other.
    fn apply(
        &self,
        conn: &mut PgConnection,
        items: &[Self::Item],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Answer>>> + Send;

    /// Called after each COMMIT.
    fn committed(&self) {}
}

/// Why an item was not committed, or not surely.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The queue is full. Nothing was done.
    #[error("too many callers wait already")]
    Busy,
    /// Nothing was committed.
    #[error("nothing was committed: {0}")]
    NotCommitted(Arc<sqlx::Error>),
    /// The COMMIT's outcome is not known.
    #[error("it is not known whether it was committed: {0}")]
    Unknown(Arc<sqlx::Error>),
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long an item may wait for its turn. Then it is taken back, and its caller
    /// told that nothing was committed.
    pub wait: Duration,
    /// What each of these gets: BEGIN, the statements of a batch, and its COMMIT.
    pub patience: Duration,
}

/// The callers' side. Cheap to clone.
pub struct Batcher<W: Work> {
    queue: mpsc::Sender<Waiting<W>>,
    wait: Duration,
}

impl<W: Work> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            wait: self.wait,
        }
    }
}

/// The most items that wait at a time: some tenths of a second of work. Beyond it a
/// caller is better told so than kept.
const QUEUE: usize = 1_024;

/// Both sides. Nothing is committed until [`Committer::run`] runs.
pub fn batcher<W: Work>(pool: PgPool, work: W, limits: Limits) -> (Batcher<W>, Committer<W>) {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let batcher = Batcher {
        queue,
        wait: limits.wait,
    };
    (
        batcher,
        Committer::new(pool, work, waiting, limits.patience),
    )
}

impl<W: Work> Batcher<W> {
    /// Has an item committed, within `patience`. A caller that leaves takes its item
    /// back if its turn has not come; what was begun is finished without it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn submit(&self, item: W::Item, patience: Duration) -> Result<W::Answer, Error> {
        let (waiting, mut place) = Waiting::new(item);
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => not_committed(sqlx::Error::PoolClosed),
        })?;
        let wait = self.wait.min(patience);
        if let Ok(answer) = tokio::time::timeout(wait, place.answer()).await {
            return answer;
        }
        if place.take_back() {
            return Err(not_committed(sqlx::Error::PoolTimedOut));
        }
        let rest = patience.saturating_sub(wait);
        tokio::time::timeout(rest, place.answer())
            .await
            .unwrap_or_else(|_| Err(unknown(sqlx::Error::PoolTimedOut)))
    }
}

fn not_committed(error: sqlx::Error) -> Error {
    Error::NotCommitted(Arc::new(error))
}

fn unknown(error: sqlx::Error) -> Error {
    Error::Unknown(Arc::new(error))
}
