//! Reading one's own outbox, to wake those who watch.
//!
//! Several instances of a service share a database, and an order that one of them
//! changes may be watched at another. Each instance therefore tails the outbox:
//! read only, below the horizon like the relay, with a cursor in memory that
//! begins at the present. Nothing depends on it but promptness: what a watcher is
//! sent is read from the order itself.

use crate::{
    follow::AFTER,
    outbox::{PARTS, Waker},
};
use lifecycle::postgres::bounded;
use sqlx::PgPool;
use std::{pin::pin, time::Duration};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two looks while somebody watches and this process writes nothing: how late
/// a change made by another instance may be seen.
const POLL_WATCHED: Duration = Duration::from_millis(50);
/// Between two looks while nobody watches: only the cursor has to keep up. The first to
/// watch may wait this long for a change made by another instance.
const POLL_UNWATCHED: Duration = Duration::from_millis(500);
/// The most rows read at a time.
const BATCH: i64 = 1_000;

/// A change of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Change {
    /// The aggregate.
    pub order_id: Uuid,
    /// Its revision after the change.
    pub revision: i64,
    xid: i64,
    seq: i64,
}

impl Change {
    /// A change that no outbox holds, for those who test their own side.
    pub fn new(order_id: Uuid, revision: i64) -> Self {
        Self {
            order_id,
            revision,
            xid: 0,
            seq: 0,
        }
    }
}

/// A reader of the outbox.
pub struct Tail {
    pool: PgPool,
    waker: Waker,
    cursor: Option<(i64, i64)>,
}

impl Tail {
    /// A tail that begins with the changes after its first look.
    pub fn new(pool: PgPool, waker: Waker) -> Self {
        Self {
            pool,
            waker,
            cursor: None,
        }
    }

    /// At most a thousand changes.
    async fn changes_after(&mut self, (xid, seq): (i64, i64)) -> sqlx::Result<Vec<Change>> {
        let changes: Vec<Change> = sqlx::query_as(AFTER)
            .bind(i32::from(PARTS))
            .bind(xid)
            .bind(seq)
            .bind(BATCH)
            .fetch_all(&self.pool)
            .await?;
        if let Some(last) = changes.last() {
            self.cursor = Some((last.xid, last.seq));
        }
        Ok(changes)
    }

    /// Reports changes until it is told to stop. While `watched` says that nobody looks
    /// on, nothing is read: whoever comes later reads what it watches after that.
    ///
    /// # Errors
    /// None today: a database that is away is tried again.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        watched: impl Fn() -> bool,
        report: impl Fn(&[Change]),
    ) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let look = bounded(self.look(&watched));
            let Some(look) = stop.run_until_cancelled(look).await else {
                break;
            };
            let changes = look.unwrap_or_else(|error| {
                tracing::debug!(%error, "watchers wait");
                Vec::new()
            });
            report(&changes);
            if changes.is_empty() {
                self.idle(&watched, &stop).await;
            }
        }
        Ok(())
    }

    /// The changes since the last look, or none while nobody watches.
    async fn look(&mut self, watched: impl Fn() -> bool) -> sqlx::Result<Vec<Change>> {
        if let Some(cursor) = self.cursor.filter(|_| watched()) {
            return self.changes_after(cursor).await;
        }
        let horizon = horizon(&self.pool).await?;
        // Asked again: who subscribes after this reads later still, and so sees all that
        // lies below the horizon.
        match self.cursor.filter(|_| watched()) {
            Some(cursor) => self.changes_after(cursor).await,
            None => {
                self.cursor = Some((horizon, -1));
                Ok(Vec::new())
            }
        }
    }

    async fn idle(&self, watched: impl Fn() -> bool, stop: &CancellationToken) {
        let pause = if watched() {
            POLL_WATCHED
        } else {
            POLL_UNWATCHED
        };
        let mut over = pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = self.waker.tail_woken() => if watched() { return },
                () = &mut over => return,
                () = stop.cancelled() => return,
            }
        }
    }
}

async fn horizon(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        .fetch_one(pool)
        .await
}
