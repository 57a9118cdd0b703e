//! One `WatchOrder` stream.

use super::{answer, error};
use crate::{
    announce::timestamp,
    order::{Order, OrderId},
    store::read,
    watch::Subscription,
};
use chrono::Utc;
use futures::{Stream, stream};
use lifecycle::postgres::{acquire, bounded};
use proto::reception::v1::{Heartbeat, WatchOrderResponse, watch_order_response::Update};
use sqlx::PgPool;
use std::time::Duration;
use tonic::Status;

/// A watcher hears something at least this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What one watcher has seen.
pub(super) struct Watch {
    pub(super) pool: PgPool,
    /// Made before the order was first read: a change in between wakes us.
    pub(super) subscription: Subscription,
    pub(super) order_id: OrderId,
    /// The last revision that was sent.
    pub(super) after: i64,
}

impl Watch {
    /// The updates, read when the caller asks for the next one: nothing is buffered.
    pub(super) fn updates(self) -> impl Stream<Item = Result<WatchOrderResponse, Status>> {
        stream::try_unfold(Some(self), |watch| async move {
            match watch {
                Some(watch) => watch.next().await,
                None => Ok(None),
            }
        })
    }

    /// The next update, and what goes on after it: nothing, once the order is settled. None
    /// at all if it is and was seen.
    async fn next(mut self) -> Result<Option<(WatchOrderResponse, Option<Self>)>, Status> {
        let mut order = self.read().await?;
        if order.revision <= self.after {
            if order.is_settled() {
                return Ok(None);
            }
            let woken = tokio::time::timeout(HEARTBEAT, self.until_newer()).await;
            match woken {
                Ok(newer) => order = newer?,
                Err(_) => {
                    let heartbeat = Heartbeat {
                        time: Some(timestamp(Utc::now())),
                    };
                    return Ok(Some((update(Update::Heartbeat(heartbeat)), Some(self))));
                }
            }
        }
        self.after = order.revision;
        let over = order.is_settled();
        let update = update(Update::Order(answer::order(order)));
        Ok(Some((update, (!over).then_some(self))))
    }

    async fn until_newer(&mut self) -> Result<Order, Status> {
        loop {
            self.subscription.changed().await;
            let order = self.read().await?;
            if order.revision > self.after {
                return Ok(order);
            }
        }
    }

    /// The order as it is now.
    pub(super) async fn read(&self) -> Result<Order, Status> {
        let mut conn = acquire(&self.pool).await.map_err(error::store)?;
        let order = bounded(read::by_id(&mut conn, self.order_id))
            .await
            .map_err(error::store)?;
        order.ok_or_else(|| error::not_found(&self.order_id.to_string()))
    }
}

fn update(update: Update) -> WatchOrderResponse {
    WatchOrderResponse {
        update: Some(update),
    }
}
