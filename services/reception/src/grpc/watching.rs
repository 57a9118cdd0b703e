//! One `WatchOrder` stream.

use super::{answer, error};
use crate::{
    announce::timestamp,
    order::{Order, OrderId},
    store::read,
    watch::{Subscription, Watchers},
};
use chrono::Utc;
use futures::{Stream, stream};
use lifecycle::postgres::{acquire, bounded};
use proto::reception::v1::{Heartbeat, WatchOrderResponse, watch_order_response::Update};
use rpc::{admission::Admitted, turns::Turn};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

/// What one watcher has seen.
pub(super) struct Watch {
    pool: PgPool,
    watchers: Watchers,
    /// Made before the order was first read: a change in between wakes us.
    subscription: Subscription,
    order_id: OrderId,
    /// The last revision that was sent.
    after: i64,
    /// Read, and not looked at yet.
    read: Option<Order>,
    /// Woken, and not read yet.
    behind: bool,
    heartbeat: Duration,
    _inside: Admitted,
}

impl Watch {
    /// Begins after a revision. An order that does not exist is an error of the call, not of its
    /// stream.
    pub(super) async fn begin(
        pool: PgPool,
        watchers: Watchers,
        (order_id, after): (OrderId, i64),
        heartbeat: Duration,
        inside: Admitted,
    ) -> Result<Self, Status> {
        let subscription = watchers.subscribe(order_id);
        let mut watch = Self {
            pool,
            watchers,
            subscription,
            order_id,
            after,
            read: None,
            behind: true,
            heartbeat,
            _inside: inside,
        };
        let turn = watch.watchers.turns().first().await?;
        watch.read(turn).await?;
        Ok(watch)
    }

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
        let quiet = Instant::now() + self.heartbeat;
        loop {
            if let Some(order) = self.read.take() {
                let over = order.is_settled();
                if order.revision > self.after {
                    self.after = order.revision;
                    let update = update(Update::Order(answer::order(order)));
                    return Ok(Some((update, (!over).then_some(self))));
                }
                if over {
                    return Ok(None);
                }
            }
            match self.turn(quiet).await {
                Some(turn) => self.read(turn).await?,
                None => return Ok(Some((heartbeat(), Some(self)))),
            }
        }
    }

    /// Waits for a change and for our turn to read it. None, if the watcher has to hear something
    /// before that.
    async fn turn(&mut self, quiet: Instant) -> Option<Turn> {
        if !self.behind {
            let changed = self.subscription.changed_after(self.after);
            timeout_at(quiet, changed).await.ok()?;
            // Told once: whatever comes between now and the reading, it is not forgotten.
            self.behind = true;
        }
        self.watchers.turns().by(quiet).await
    }

    /// Reads the order as it is now.
    async fn read(&mut self, _turn: Turn) -> Result<(), Status> {
        let mut conn = acquire(&self.pool).await.map_err(error::store)?;
        let order = bounded(read::by_id(&mut conn, self.order_id))
            .await
            .map_err(error::store)?;
        let order = order.ok_or_else(|| error::not_found(&self.order_id.to_string()))?;
        (self.read, self.behind) = (Some(order), false);
        Ok(())
    }
}

fn heartbeat() -> WatchOrderResponse {
    let time = Some(timestamp(Utc::now()));
    update(Update::Heartbeat(Heartbeat { time }))
}

fn update(update: Update) -> WatchOrderResponse {
    WatchOrderResponse {
        update: Some(update),
    }
}
