//! A connection within a caller's patience.
//!
//! Problem: sqlx makes a connection within the patience of whoever asks for it, after the time
//! that this one has queued, and lets go of a half-made one. Where connecting takes longer than
//! that (the server has just come back, the machine is busy) every caller throws away what the one
//! before it has begun: the pool stays empty, and those who ask again keep it so.
//! Guarantee: a caller waits for `ACQUIRE_TIMEOUT` at most, and a connection that is being made
//! for one who gives up is made to its end, within `FILL_TIMEOUT`, for whoever comes next.
//! Not guaranteed: a pool that is large enough. Who gives up while it queues leaves the queue.
//! And who is served is guessed: of two callers in one instant the wrong one may be taken for it.
//! Then one goes on queueing for nobody, or a half-made connection is dropped as sqlx does.

use futures::future::join_all;
use sqlx::{PgPool, Postgres, pool::PoolConnection};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, time};

/// A caller without a connection by then is told UNAVAILABLE: queueing longer would only spend
/// its deadline.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);

type Connection = sqlx::Result<PoolConnection<Postgres>>;

/// A connection, soon or not at all. May be dropped at any moment.
///
/// # Errors
/// What the database answers, or [`sqlx::Error::PoolTimedOut`].
pub async fn acquire(pool: &PgPool) -> Connection {
    let acquiring = Acquiring {
        pool: pool.clone(),
        begun: Some(Box::pin(pool.acquire())),
        is_served: false,
    };
    let acquired = time::timeout(ACQUIRE_TIMEOUT, acquiring).await;
    acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Makes all connections of a pool. What cannot be made now is made when somebody needs it.
pub(super) async fn fill(pool: &PgPool) {
    let most = pool.options().get_max_connections();
    // All at a time: one that came back would be given out again.
    drop(join_all((0..most).map(|_| pool.acquire())).await);
}

/// Given up while it is served, it goes on by itself.
struct Acquiring {
    pool: PgPool,
    begun: Option<Pin<Box<dyn Future<Output = Connection> + Send>>>,
    is_served: bool,
}

impl Acquiring {
    /// What the pool has given to those who are served: a place for a new connection, or an old
    /// connection that is asked whether it is alive. sqlx tells nobody who they are.
    fn given(&self) -> i64 {
        let size = i64::from(self.pool.size());
        // sqlx counts one that comes back after it may be gone again: below zero for a moment.
        let idle = i64::try_from(self.pool.num_idle()).unwrap_or(0);
        size - idle.min(size)
    }
}

impl Future for Acquiring {
    type Output = Connection;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Connection> {
        let given = self.given();
        let Some(begun) = self.begun.as_mut() else {
            return Poll::Pending; // It was told already.
        };
        let polled = begun.as_mut().poll(cx);
        if polled.is_ready() {
            self.begun = None;
        } else if self.given() > given {
            // It was given to this one; or, in the same instant, to one on another thread.
            self.is_served = true;
        }
        polled
    }
}

impl Drop for Acquiring {
    fn drop(&mut self) {
        let begun = self.begun.take().filter(|_| self.is_served);
        if let (Some(begun), Ok(runtime)) = (begun, Handle::try_current()) {
            // Dropped, the connection goes to the next who waits.
            #[expect(
                clippy::disallowed_methods,
                reason = "it outlives the caller who gave up; FILL_TIMEOUT bounds it"
            )]
            runtime.spawn(async move {
                if let Err(error) = begun.await {
                    // Nobody waits for it: the next caller meets it, too, and is told.
                    tracing::debug!(%error, "no connection for whoever comes next");
                }
            });
        }
    }
}
