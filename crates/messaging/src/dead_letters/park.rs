//! Writing a message down.

use crate::{
    inbox::{Origin, Received},
    spans::trace_of,
};
use sqlx::PgConnection;
use tracing::field::display;

/// Parks a message with the reason why it could not be handled. Returns whether it was
/// parked. `remembered` says that the inbox knows the message's id, if it has one.
///
/// Not if it was before, or if an event of the same type about the same order is parked
/// for the same reason: an order that cannot be made is asked after again and again, and
/// one letter of it is enough for whoever decides.
pub(crate) async fn park(
    conn: &mut PgConnection,
    consumer: &str,
    received: &Received,
    remembered: bool,
    reason: &str,
) -> sqlx::Result<bool> {
    let origin = &received.origin;
    let parked = sqlx::query(
        "insert into dead_letters (consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
                                   event_id, headers, key, payload, reason) \
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
         where not exists (select from dead_letters \
                           where consumer = $1 and key = $8 and reason = $10 \
                             and headers->>'ce_type' = $7->>'ce_type') \
         on conflict on constraint dead_letters_origin_key do nothing",
    )
    .bind(consumer)
    .bind(&origin.topic)
    .bind(origin.partition)
    .bind(origin.offset)
    .bind(origin.time_ms)
    .bind(
        received
            .message
            .as_ref()
            .ok()
            .filter(|_| remembered)
            .map(|message| message.event_id),
    )
    .bind(sqlx::types::Json(&received.headers))
    .bind(received.key.as_deref())
    .bind(received.payload.as_deref())
    .bind(reason)
    .execute(conn)
    .await?
    .rows_affected()
        > 0;
    if parked {
        tell(consumer, received, reason);
    }
    Ok(parked)
}

fn tell(consumer: &str, received: &Received, reason: &str) {
    let Origin {
        topic,
        partition,
        offset,
        ..
    } = &received.origin;
    let _trace = telemetry::spans::belongs_to(&trace_of(received));
    let order_id = received.order_id().map(display);
    tracing::error!(
        consumer,
        topic,
        partition,
        offset,
        coffeeshop.order.id = order_id,
        reason,
        "dead letter"
    );
}
