//! Who watches which order.
//!
//! A watcher is woken when its order has changed, by this instance or another (see
//! [`messaging::tail`]), and then reads the order itself. So nothing is buffered for
//! a slow watcher: it skips revisions, and always gets the latest. Who watches what does
//! not move costs memory, and a place in one statement of [`LOOK_OVER`].

use crate::{order::OrderId, store::read};
use lifecycle::{
    Stop,
    postgres::{acquire, bounded},
};
use messaging::tail::Change;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time,
};

/// Watchers who read at a time. After a restart all of them come at once, and whoever orders needs
/// connections, too.
const READING: usize = 2;
/// Between two looks at all that is watched. The tail is prompt; this finds what it cannot know of: a
/// database that was replaced by an older copy.
const LOOK_OVER: Duration = Duration::from_secs(15);
/// Orders looked at in one statement.
const AT_A_TIME: usize = 1_000;
/// Later than any revision: an order that is not there any more.
const GONE: i64 = i64::MAX;

/// All watchers of this instance.
#[derive(Clone)]
pub struct Watchers {
    orders: Arc<Mutex<HashMap<OrderId, watch::Sender<i64>>>>,
    reading: Arc<Semaphore>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            orders: Arc::default(),
            reading: Arc::new(Semaphore::new(READING)),
        }
    }
}

/// One watcher of one order. Unsubscribes when it is dropped.
pub struct Subscription {
    watchers: Watchers,
    order_id: OrderId,
    revision: watch::Receiver<i64>,
}

impl Watchers {
    /// Watches an order from now on. Subscribe before you read the order: a change in
    /// between is then not missed.
    pub fn subscribe(&self, order_id: OrderId) -> Subscription {
        let mut orders = self.lock();
        let sender = orders
            .entry(order_id)
            .or_insert_with(|| watch::channel(0).0);
        let revision = sender.subscribe();
        Subscription {
            watchers: self.clone(),
            order_id,
            revision,
        }
    }

    /// Wakes those whose order has changed.
    pub fn wake(&self, changes: &[Change]) {
        let orders = self.lock();
        for change in changes {
            if let Some(sender) = orders.get(&OrderId(change.order_id)) {
                // The outbox has revisions of one order in any order.
                sender.send_if_modified(|latest| {
                    let is_later = change.revision > *latest;
                    *latest = change.revision.max(*latest);
                    is_later
                });
            }
        }
    }

    /// A turn to read, kept until it is dropped.
    pub async fn reading(&self) -> Option<SemaphorePermit<'_>> {
        // None if it were closed, and nobody closes it.
        self.reading.acquire().await.ok()
    }

    /// Looks everything over now and then, until the stop.
    ///
    /// # Errors
    /// None today: a database that is away is asked again.
    pub async fn look_over(self, pool: PgPool, stop: Stop) -> anyhow::Result<()> {
        while stop
            .run_until_cancelled(time::sleep(LOOK_OVER))
            .await
            .is_some()
        {
            let watched: Vec<OrderId> = self.lock().keys().copied().collect();
            for orders in watched.chunks(AT_A_TIME) {
                match bounded(latest(&pool, orders)).await {
                    Ok(latest) => self.wake(&latest),
                    Err(error) => tracing::debug!(%error, "watchers wait"),
                }
            }
        }
        Ok(())
    }

    /// Whether anybody watches anything.
    pub fn watched(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<i64>>> {
        // Nothing panics while it is held, and a map of wakers cannot be half-changed.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The revisions that orders have now.
async fn latest(pool: &PgPool, orders: &[OrderId]) -> sqlx::Result<Vec<Change>> {
    let mut conn = acquire(pool).await?;
    let revisions: HashMap<OrderId, i64> = read::revisions(&mut conn, orders).await?;
    let latest = orders.iter().map(|order| {
        let revision = revisions.get(order).copied();
        Change::new(order.0, revision.unwrap_or(GONE))
    });
    Ok(latest.collect())
}

impl Subscription {
    /// Waits until another revision after this one is told of. Each is told once: one that cannot be
    /// read must not be read again and again.
    pub async fn changed_after(&mut self, revision: i64) {
        loop {
            if self.revision.changed().await.is_err() {
                // The sender lives in the map for as long as we are subscribed.
                std::future::pending().await
            }
            if *self.revision.borrow_and_update() > revision {
                return;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut orders = self.watchers.lock();
        if orders
            .get(&self.order_id)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            orders.remove(&self.order_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_watcher_is_woken_by_its_order_alone_and_forgotten_when_it_leaves() {
        let (watchers, ours) = (Watchers::default(), OrderId(Uuid::now_v7()));
        let mut subscription = watchers.subscribe(ours);
        let other = watchers.subscribe(ours);
        watchers.wake(&[Change::new(Uuid::now_v7(), 1)]);
        assert!(watchers.watched());
        watchers.wake(&[Change::new(ours.0, 2), Change::new(ours.0, 1)]);
        subscription.changed_after(1).await;
        let later = subscription.changed_after(2);
        assert!(later.now_or_never().is_none(), "there is no later one");
        drop(other);
        assert_eq!(watchers.lock().len(), 1);
        drop(subscription);
        assert!(!watchers.watched());
    }
}
