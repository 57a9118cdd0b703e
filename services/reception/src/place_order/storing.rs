//! Storing what waits to be stored.

use crate::{
    announce, metrics,
    order::Order,
    store::{self, NewOrder, read},
};
use batching::Work;
use messaging::outbox::{self, Waker};
use sqlx::PgConnection;
use std::collections::HashSet;

/// Stores orders with their first history entry and event.
pub struct Storing {
    /// Wakes the relay.
    pub waker: Waker,
}

/// What became of an order that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored, by this call or by an earlier try of it.
    New,
    /// Its request id has placed this one before, with the same body.
    Known(Order),
    /// Its request id has placed another one.
    Other,
}

impl Work for Storing {
    type Item = NewOrder;
    type Answer = Stored;

    async fn apply(
        &self,
        conn: &mut PgConnection,
        items: &[NewOrder],
    ) -> sqlx::Result<Vec<Stored>> {
        let stored: HashSet<_> = store::insert(conn, items).await?.into_iter().collect();
        let (new, known): (Vec<&NewOrder>, Vec<&NewOrder>) = items
            .iter()
            .partition(|item| stored.contains(&item.order.order_id));
        let orders: Vec<&Order> = new.iter().map(|new| &new.order).collect();
        store::insert_history(conn, &orders).await?;
        let events: Vec<_> = new
            .iter()
            .map(|new| announce::placed(&new.order, new.trace.clone()))
            .collect();
        outbox::append(conn, &events).await?;
        metrics::placed(new.len());
        let request_ids: Vec<_> = known.iter().map(|known| known.request_id).collect();
        // A statement of its own: it sees what a twin committed while the insert waited
        // for it.
        let known = read::by_request_ids(conn, &request_ids).await?;
        items
            .iter()
            .map(|item| match known.get(&item.request_id) {
                None if stored.contains(&item.order.order_id) => Ok(Stored::New),
                None => Err(sqlx::Error::RowNotFound),
                // An earlier try of this call, whose COMMIT's outcome was unknown; or this
                // very transaction, of which a repeat in the same batch was told.
                Some((order, _)) if order.order_id == item.order.order_id => Ok(Stored::New),
                Some((order, hash)) if *hash == item.request_hash => {
                    Ok(Stored::Known(order.clone()))
                }
                Some(_) => Ok(Stored::Other),
            })
            .collect()
    }

    fn committed(&self) {
        self.waker.wake();
    }
}
