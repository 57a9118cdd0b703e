//! Changing stored orders: the one way that leads there.
//!
//! Lock, apply, write back, write history, write events: in the caller's
//! transaction, for a batch. The caller's own charge, the sweeper and the barista's
//! events all come through here, so the order's rules hold whoever comes first.

use crate::{
    announce, metrics,
    order::{Event, IllegalTransition, Order, OrderId, State, Transition},
    store::{self, Locked},
};
use batching::Work;
use chrono::{DateTime, Utc};
use messaging::outbox::{self, Waker};
use planted::Bug;
use sqlx::PgConnection;
use std::collections::HashMap;
use telemetry::propagation::TraceContext;

/// Something that happened to an order.
#[derive(Clone, Debug)]
pub struct Change {
    /// The order.
    pub order_id: OrderId,
    /// What happened.
    pub event: Event,
    /// The revision of the ticket that says so, if one does. A ticket's event applies
    /// only if its revision is greater than the last one applied.
    pub ticket_revision: Option<i64>,
    /// Where the order's trace goes on.
    pub trace: TraceContext,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The order as it is now; its history holds what is new.
    Applied(Order),
    /// Nothing changed, as it should.
    Absorbed(Order),
    /// It contradicts what was decided.
    Refused(IllegalTransition),
    /// There is no such order.
    Unknown,
}

/// Records what became of charges, and what customers want.
pub struct Recording {
    /// Wakes the relay.
    pub waker: Waker,
}

impl Work for Recording {
    type Item = Change;
    type Answer = Changed;

    async fn apply(
        &self,
        conn: &mut PgConnection,
        changes: &[Change],
    ) -> sqlx::Result<Vec<Changed>> {
        apply(conn, changes).await
    }

    fn committed(&self) {
        self.waker.wake();
    }
}

/// Makes changes in the given sequence. Returns what became of each.
///
/// # Errors
/// What the database answers; the transaction is then of no use any more.
pub async fn apply(conn: &mut PgConnection, changes: &[Change]) -> sqlx::Result<Vec<Changed>> {
    let ids: Vec<OrderId> = changes.iter().map(|change| change.order_id).collect();
    let locked = store::lock(conn, &ids).await?;
    let mut orders: HashMap<OrderId, Locked> = locked
        .into_iter()
        .map(|locked| (locked.order.order_id, locked))
        .collect();
    let (mut events, mut moved) = (Vec::new(), Vec::new());
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        let Some(locked) = orders.get_mut(&change.order_id) else {
            results.push(Changed::Unknown);
            continue;
        };
        let before = locked.order.state;
        let result = fold(locked, change);
        if let Changed::Applied(order) = &result {
            events.push(announce::changed(
                before,
                order,
                &change.event,
                change.trace.clone(),
            ));
            if order.state != before {
                moved.push(results.len());
            }
        }
        results.push(result);
    }
    write(conn, orders.into_values().collect(), &events).await?;
    for moved in moved {
        if let Changed::Applied(order) = &results[moved] {
            metrics::moved(order);
        }
    }
    Ok(results)
}

/// The time in whole microseconds, as Postgres keeps it: what is answered now is what
/// is read later.
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// Applies one change to a locked order, in memory.
fn fold(locked: &mut Locked, change: &Change) -> Changed {
    let heard = change.ticket_revision.unwrap_or(0);
    // A ticket that is given up or made has the last word whatever its revision: a barista
    // that has lost its book counts from one again, and gets no further than that.
    let last_word = matches!(
        change.event,
        Event::CannotBeMade { .. } | Event::CancelAccepted | Event::Made { .. }
    );
    let stale = heard <= locked.ticket_revision && !planted::bug(Bug::NoRevision);
    if change.ticket_revision.is_some() && stale && !last_word {
        return Changed::Absorbed(locked.order.clone());
    }
    let heard = heard.max(locked.ticket_revision);
    if planted::bug(Bug::NoStateMachine) && change.ticket_revision.is_some() {
        locked.order.state = State::Paid;
    }
    match locked.order.clone().apply(change.event.clone(), now()) {
        Transition::Applied(order) => {
            (locked.order, locked.ticket_revision) = (order.clone(), heard);
            Changed::Applied(order)
        }
        Transition::Absorbed(order, _) => {
            locked.ticket_revision = heard;
            Changed::Absorbed(order)
        }
        // The revision is not taken as heard: said again later, it may be right.
        Transition::Refused(illegal) => Changed::Refused(illegal),
    }
}

async fn write(
    conn: &mut PgConnection,
    changed: Vec<Locked>,
    events: &[messaging::event::Event],
) -> sqlx::Result<()> {
    store::update(conn, &changed).await?;
    let orders: Vec<&Order> = changed.iter().map(|locked| &locked.order).collect();
    store::insert_history(conn, &orders).await?;
    outbox::append(conn, events).await
}

#[cfg(test)]
mod properties;
