//! Writing a message down.

use crate::inbox::Received;
use sqlx::PgConnection;

/// Parks a message with the reason why it could not be handled. Parking the same
/// message again changes nothing.
pub(crate) async fn park(
    conn: &mut PgConnection,
    consumer: &str,
    received: &Received,
    reason: &str,
) -> sqlx::Result<()> {
    let origin = &received.origin;
    sqlx::query(
        "insert into dead_letters (consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
                                   event_id, headers, key, payload, reason) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
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
            .map(|message| message.event_id),
    )
    .bind(sqlx::types::Json(&received.headers))
    .bind(received.key.as_deref())
    .bind(received.payload.as_deref())
    .bind(reason)
    .execute(conn)
    .await?;
    let (partition, offset) = (origin.partition, origin.offset);
    tracing::error!(
        consumer,
        topic = origin.topic,
        partition,
        offset,
        reason,
        "dead letter"
    );
    Ok(())
}
