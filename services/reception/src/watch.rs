//! Who watches which order.
//!
//! A watcher is woken when its order has changed, by this instance or another (see
//! [`messaging::tail`]), and then reads the order itself. So nothing is buffered for
//! a slow watcher: it skips revisions, and always gets the latest. Whoever watches what does
//! not move costs memory, a heartbeat now and then, and a place in one statement of
//! `LOOK_OVER`; the first one also has the tail look twenty times a second instead of twice.

use crate::{order::OrderId, store::read};
use lifecycle::{
    Stop,
    postgres::{acquire, bounded},
};
use messaging::tail::Change;
use rpc::turns::Turns;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time};

/// Between two looks at all that is watched. The tail is prompt; this finds what it cannot know of: a
/// database that was replaced by an older copy.
const LOOK_OVER: Duration = Duration::from_secs(15);
/// Orders looked at in one statement.
const AT_A_TIME: usize = 1_000;

/// All watchers of this instance.
#[derive(Clone, Default)]
pub struct Watchers {
    orders: Arc<Mutex<HashMap<OrderId, watch::Sender<Told>>>>,
    turns: Turns,
}

/// What watchers of an order were told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// By the outbox, in any order: it has come as far.
    Reached(i64),
    /// By the order itself, which may have gone back; none if it is gone.
    Found(Option<i64>),
}

/// One watcher of one order. Unsubscribes when it is dropped.
pub struct Subscription {
    watchers: Watchers,
    order_id: OrderId,
    told: watch::Receiver<Told>,
}

impl Watchers {
    /// Watches an order from now on. Subscribe before you read the order: a change in
    /// between is then not missed.
    pub fn subscribe(&self, order_id: OrderId) -> Subscription {
        let mut orders = self.lock();
        let sender = orders
            .entry(order_id)
            .or_insert_with(|| watch::channel(Told::Reached(0)).0);
        let told = sender.subscribe();
        Subscription {
            watchers: self.clone(),
            order_id,
            told,
        }
    }

    /// Wakes those whose order has changed.
    pub fn wake(&self, changes: &[Change]) {
        let orders = self.lock();
        for change in changes {
            if let Some(sender) = orders.get(&OrderId(change.order_id)) {
                // The outbox has revisions of one order in any order.
                sender.send_if_modified(|told| {
                    let is_later = told.is_before(change.revision);
                    if is_later {
                        *told = Told::Reached(change.revision);
                    }
                    is_later
                });
            }
        }
    }

    /// Wakes those whose order was found to be another than they were told, earlier ones included.
    /// Not where something was told since `before`: what was found may be older than that.
    fn found(&self, before: &[(OrderId, Told)], revisions: &HashMap<OrderId, i64>) {
        let orders = self.lock();
        for (order_id, before) in before {
            if let Some(sender) = orders.get(order_id) {
                let found = Told::Found(revisions.get(order_id).copied());
                sender.send_if_modified(|told| {
                    let is_news = told == before && *told != found;
                    if is_news {
                        *told = found;
                    }
                    is_news
                });
            }
        }
    }

    /// Turns to read: after a restart all watchers come at once, and whoever orders needs
    /// connections, too.
    pub fn turns(&self) -> &Turns {
        &self.turns
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
            for watched in self.told().chunks(AT_A_TIME) {
                match bounded(revisions(&pool, watched)).await {
                    Ok(revisions) => self.found(watched, &revisions),
                    Err(error) => tracing::debug!(%error, "watchers wait"),
                }
            }
        }
        Ok(())
    }

    /// All that is watched, and what was told of it.
    fn told(&self) -> Vec<(OrderId, Told)> {
        let orders = self.lock();
        let told = orders
            .iter()
            .map(|(order_id, sender)| (*order_id, *sender.borrow()));
        told.collect()
    }

    /// Whether anybody watches anything.
    pub fn watched(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<Told>>> {
        // Nothing panics while it is held, and a map of wakers cannot be half-changed.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The revisions that orders have now.
async fn revisions(
    pool: &PgPool,
    watched: &[(OrderId, Told)],
) -> sqlx::Result<HashMap<OrderId, i64>> {
    let mut conn = acquire(pool).await?;
    let orders: Vec<OrderId> = watched.iter().map(|(order_id, _)| *order_id).collect();
    read::revisions(&mut conn, &orders).await
}

impl Told {
    /// Whether a revision in the outbox is news.
    fn is_before(self, revision: i64) -> bool {
        match self {
            Self::Reached(told) | Self::Found(Some(told)) => told < revision,
            Self::Found(None) => true,
        }
    }

    /// Whether the order has to be read by somebody who has seen this revision.
    fn is_news_after(self, seen: i64) -> bool {
        match self {
            Self::Reached(told) => told > seen,
            Self::Found(found) => found != Some(seen),
        }
    }
}

impl Subscription {
    /// Waits until another revision after this one is told of, or an earlier one was found. Each is
    /// told once: one that cannot be read must not be read again and again.
    pub async fn changed_after(&mut self, revision: i64) {
        loop {
            if self.told.changed().await.is_err() {
                // The sender lives in the map for as long as we are subscribed.
                std::future::pending().await
            }
            if self.told.borrow_and_update().is_news_after(revision) {
                return;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut orders = self.watchers.lock();
        // Here, and not as a field, which goes after the lock: of two that leave together both would
        // still count the other.
        let nothing = watch::channel(Told::Reached(0)).1;
        drop(mem::replace(&mut self.told, nothing));
        if orders
            .get(&self.order_id)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            orders.remove(&self.order_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::{sync::Barrier, thread};
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

    #[tokio::test]
    async fn a_watcher_is_woken_when_its_order_went_back_or_is_gone_and_when_it_comes_again() {
        let (watchers, order) = (Watchers::default(), OrderId(Uuid::now_v7()));
        let mut subscription = watchers.subscribe(order);
        let is = |revision: i64| HashMap::from([(order, revision)]);
        let mut is_woken = |after| subscription.changed_after(after).now_or_never().is_some();
        watchers.wake(&[Change::new(order.0, 5)]);
        assert!(is_woken(4));
        watchers.found(&watchers.told(), &is(5));
        assert!(!is_woken(5), "it was seen");

        watchers.found(&watchers.told(), &is(1));
        assert!(is_woken(5), "it went back");
        watchers.found(&watchers.told(), &is(1));
        assert!(!is_woken(5), "this was told before");
        watchers.found(&watchers.told(), &HashMap::new());
        assert!(is_woken(5), "it is gone");
        watchers.found(&watchers.told(), &HashMap::new());
        assert!(!is_woken(5), "this was told before");
        watchers.wake(&[Change::new(order.0, 6)]);
        assert!(is_woken(5), "it is there again");
    }

    #[tokio::test]
    async fn what_was_told_during_a_look_is_not_taken_back_by_it() {
        let (watchers, order) = (Watchers::default(), OrderId(Uuid::now_v7()));
        let mut subscription = watchers.subscribe(order);
        let before = watchers.told();
        watchers.wake(&[Change::new(order.0, 6)]);
        watchers.found(&before, &HashMap::from([(order, 5)]));
        let woken = subscription.changed_after(5).now_or_never();
        assert!(woken.is_some(), "it missed a change");
    }

    #[test]
    fn an_order_is_forgotten_whose_watchers_leave_together() {
        let watchers = Watchers::default();
        for _ in 0..1_000 {
            let order = OrderId(Uuid::now_v7());
            let together = Barrier::new(2);
            let leaves = |subscription: Subscription| {
                together.wait();
                drop(subscription);
            };
            let both = [watchers.subscribe(order), watchers.subscribe(order)];
            thread::scope(|scope| {
                for subscription in both {
                    scope.spawn(|| leaves(subscription));
                }
            });
            assert!(!watchers.watched());
        }
    }
}
