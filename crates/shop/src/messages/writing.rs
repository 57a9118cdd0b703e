//! Whoever appends events, and the relay beside it: what a process of a service has of both.

use chrono::Utc;
use futures::future::try_join_all;
use messaging::{
    event::Event,
    outbox::{self, Waker},
};
use proto::reception::v1::{
    CancelState, OrderEvent, OrderPaid, OrderSnapshot, OrderState, OrderedDrink, order_event,
};
use sqlx::PgPool;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// Events in one transaction: as many as reception commits together at most.
pub(super) const TOGETHER: u64 = 64;
/// Transactions at the same time, over all writers.
const AT_ONCE: usize = 4;

/// Appends, and wakes the relay of its own process; others notice by themselves.
pub(super) struct Writer {
    pub(super) pool: PgPool,
    pub(super) waker: Waker,
}

/// Appends so many events, all writers at the same time.
pub(super) async fn append(writers: &[Writer], events: u64) -> sqlx::Result<()> {
    let lanes = u64::try_from(AT_ONCE).unwrap_or(1);
    let writing = writers.iter().cycle().take(AT_ONCE).zip(0..lanes);
    let share = |lane| events / lanes + u64::from(lane < events % lanes);
    try_join_all(writing.map(|(writer, lane)| writer.append(share(lane)))).await?;
    Ok(())
}

impl Writer {
    async fn append(&self, events: u64) -> sqlx::Result<()> {
        let mut left = events;
        while left > 0 {
            let now = left.min(TOGETHER);
            let events: Vec<Event> = (0..now).map(|_| paid()).collect();
            let mut tx = self.pool.begin().await?;
            outbox::append(&mut tx, &events).await?;
            tx.commit().await?;
            self.waker.wake();
            left -= now;
        }
        Ok(())
    }
}

/// The event that reception publishes of a paid order of one drink.
pub(super) fn paid() -> Event {
    let (order_id, revision, now) = (Uuid::now_v7(), 2, Utc::now());
    let message = OrderEvent {
        order_id: order_id.to_string(),
        revision,
        occur_time: Some(std::time::SystemTime::from(now).into()),
        snapshot: Some(OrderSnapshot {
            state: OrderState::Paid.into(),
            items: vec![OrderedDrink {
                drink: "latte".to_owned(),
                size: "large".to_owned(),
                quantity: 1,
            }],
            cancel_state: CancelState::NotRequested.into(),
        }),
        event: Some(order_event::Event::Paid(OrderPaid {})),
    };
    let trace = TraceContext {
        traceparent: Some(format!("00-{}-00f067aa0ba902b7-01", order_id.simple())),
        tracestate: None,
    };
    let event_type = "coffeeshop.reception.v1.OrderPaid";
    Event::new(event_type, order_id, revision, now, &message, trace)
}
