//! Who watches which order.
//!
//! A watcher is woken when its order has changed, by this instance or another (see
//! [`messaging::tail`]), and then reads the order itself. So nothing is buffered for
//! a slow watcher: it skips revisions, and always gets the latest.

use crate::order::OrderId;
use messaging::tail::Change;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// All watchers of this instance.
#[derive(Clone, Default)]
pub struct Watchers {
    orders: Arc<Mutex<HashMap<OrderId, watch::Sender<i64>>>>,
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
                sender.send_replace(change.revision);
            }
        }
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

impl Subscription {
    /// Waits for the next change after the last one seen here.
    pub async fn changed(&mut self) {
        if self.revision.changed().await.is_err() {
            // The sender lives in the map for as long as we are subscribed.
            std::future::pending().await
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
    use uuid::Uuid;

    #[tokio::test]
    async fn a_watcher_is_woken_by_its_order_alone_and_forgotten_when_it_leaves() {
        let (watchers, ours) = (Watchers::default(), OrderId(Uuid::now_v7()));
        let mut subscription = watchers.subscribe(ours);
        let other = watchers.subscribe(ours);
        watchers.wake(&[Change::new(Uuid::now_v7(), 1)]);
        assert!(watchers.watched());
        assert!(
            !subscription
                .revision
                .has_changed()
                .expect("the sender is in the map")
        );
        watchers.wake(&[Change::new(ours.0, 2)]);
        subscription.changed().await;
        drop(other);
        assert_eq!(watchers.lock().len(), 1);
        drop(subscription);
        assert!(!watchers.watched());
    }
}
