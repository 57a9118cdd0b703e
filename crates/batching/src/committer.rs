//! Taking what waits and committing it.

use crate::{Error, Work, not_committed, unknown, waiting::Waiting};
use futures::{StreamExt as _, future::join_all, stream};
use lifecycle::postgres::begin;
use sqlx::{PgPool, Postgres, Transaction};
use std::{
    slice,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// The most items in one transaction. Twice as many gain a few percent, and double what
/// the last of them waits.
const BATCH: usize = 64;
/// Batches that are committed side by side: while one waits for the disk, the next fills.
const SIDE_BY_SIDE: usize = 2;
/// Items of a refused batch that are tried side by side.
const ALONE_SIDE_BY_SIDE: usize = 4;

/// The database's side. Runs as one task.
pub struct Committer<W: Work> {
    pool: PgPool,
    work: W,
    queue: Mutex<mpsc::Receiver<Waiting<W>>>,
    patience: Duration,
}

/// Where a transaction failed: it decides who may be helped by trying again.
enum Failure {
    /// The database is away: nobody can be helped.
    Away(sqlx::Error),
    /// A statement failed. It may have been one item's fault.
    Refused(sqlx::Error),
    /// The COMMIT may or may not have happened.
    Unknown(sqlx::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(error) | Failure::Refused(error) => not_committed(error),
            Failure::Unknown(error) => unknown(error),
        }
    }
}

type Caller<W> = oneshot::Sender<Result<<W as Work>::Answer, Error>>;

impl<W: Work> Committer<W> {
    pub(crate) fn new(
        pool: PgPool,
        work: W,
        queue: mpsc::Receiver<Waiting<W>>,
        patience: Duration,
    ) -> Self {
        Self {
            pool,
            work,
            queue: Mutex::new(queue),
            patience,
        }
    }

    /// Commits what is submitted, until it is told to stop; then what waits by then.
    ///
    /// # Errors
    /// None today: every failure is its callers' to handle.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        join_all((0..SIDE_BY_SIDE).map(|_| self.commit_all(&stop))).await;
        Ok(())
    }

    async fn commit_all(&self, stop: &CancellationToken) {
        loop {
            let batch = self.next_batch(stop).await;
            if batch.is_empty() {
                return;
            }
            let begun = batch.into_iter().filter_map(Waiting::begin);
            let (items, callers): (Vec<_>, Vec<_>) = begun.unzip();
            if !items.is_empty() {
                self.commit(&items, callers).await;
            }
        }
    }

    /// What waits. Empty once it was told to stop and nothing waits any more.
    async fn next_batch(&self, stop: &CancellationToken) -> Vec<Waiting<W>> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut queue = self.queue.lock().await;
        if stop
            .run_until_cancelled(queue.recv_many(&mut batch, BATCH))
            .await
            .is_none()
        {
            // Later callers are told so.
            queue.close();
            queue.recv_many(&mut batch, BATCH).await;
        }
        batch
    }

    async fn commit(&self, items: &[W::Item], callers: Vec<Caller<W>>) {
        match self.transaction(items).await {
            Ok(answers) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    // A caller that has left asks again by its key.
                    caller.send(Ok(answer)).ok();
                }
            }
            Err(Failure::Refused(error)) if items.len() > 1 => {
                tracing::debug!(%error, items = items.len(), "batch refused; each item alone");
                self.commit_alone(items, callers).await;
            }
            Err(failure) => {
                let error = Error::from(failure);
                for caller in callers {
                    caller.send(Err(error.clone())).ok();
                }
            }
        }
    }

    /// Each item in a transaction of its own, because one of them spoils the batch.
    async fn commit_alone(&self, items: &[W::Item], callers: Vec<Caller<W>>) {
        let away = AtomicBool::new(false);
        stream::iter(items.iter().zip(callers))
            .for_each_concurrent(ALONE_SIDE_BY_SIDE, async |(item, caller)| {
                let answer = if away.load(Ordering::Relaxed) {
                    // Each would wait for a connection that does not come.
                    Err(not_committed(sqlx::Error::PoolTimedOut))
                } else {
                    self.commit_one(item, &away).await
                };
                caller.send(answer).ok();
            })
            .await;
    }

    async fn commit_one(&self, item: &W::Item, away: &AtomicBool) -> Result<W::Answer, Error> {
        let committed = self.transaction(slice::from_ref(item)).await;
        if let Err(Failure::Away(_)) = &committed {
            away.store(true, Ordering::Relaxed);
        }
        // The contract of `apply`, checked by `transaction`, is one answer per item.
        committed?
            .pop()
            .ok_or_else(|| not_committed(sqlx::Error::RowNotFound))
    }

    async fn transaction(&self, items: &[W::Item]) -> Result<Vec<W::Answer>, Failure> {
        let tx = within(self.patience, begin(&self.pool)).await;
        let mut tx: Transaction<'static, Postgres> = tx.map_err(Failure::Away)?;
        let answers = within(self.patience, self.work.apply(&mut tx, items)).await;
        let answers = answers.map_err(Failure::Refused)?;
        if answers.len() != items.len() {
            let error = format!("{} answers for {} items", answers.len(), items.len());
            return Err(Failure::Refused(sqlx::Error::Protocol(error)));
        }
        // Crash here: nothing is committed, and no caller has an answer.
        within(self.patience, tx.commit())
            .await
            .map_err(Failure::Unknown)?;
        // Crash here: all is committed, and the callers ask again by their keys.
        self.work.committed();
        Ok(answers)
    }
}

/// sqlx waits for ever on a connection whose other end has vanished.
async fn within<T>(
    patience: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(patience, work)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
