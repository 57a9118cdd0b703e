//! The SQL of dead letters. Reads and locks those of one consumer and of its service's
//! relay, who is not in this process's hands to choose.

use super::DeadLetter;
use crate::{inbox::Message, outbox};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Lists rows without their payloads. There is no index on the order: dead letters are
/// few, or the shop has another problem.
pub(super) async fn list(
    conn: &mut PgConnection,
    consumer: &str,
    order_id: Option<Uuid>,
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_as(
        "select dead_letter_id, consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
             event_id, revision, headers, key, null::bytea as payload, reason, create_time \
         from dead_letters \
         where (consumer = $1 or kafka_offset is null) and dead_letter_id > $2 \
           and ($3::text is null or headers->>'ce_subject' = $3 or key = convert_to($3, 'UTF8')) \
         order by dead_letter_id limit $4",
    )
    .bind(consumer)
    .bind(after.unwrap_or(0))
    .bind(order_id.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub(super) async fn get(
    conn: &mut PgConnection,
    consumer: &str,
    id: i64,
) -> sqlx::Result<Option<DeadLetter>> {
    sqlx::query_as(
        "select dead_letter_id, consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
             event_id, revision, headers, key, payload, reason, create_time \
         from dead_letters \
         where dead_letter_id = $2 and (consumer = $1 or kafka_offset is null)",
    )
    .bind(consumer)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Reads a row and keeps everybody else from it until the transaction ends.
pub(super) async fn lock(
    conn: &mut PgConnection,
    consumer: &str,
    id: i64,
) -> sqlx::Result<Option<DeadLetter>> {
    sqlx::query_as(
        "select dead_letter_id, consumer, topic, kafka_partition, kafka_offset, kafka_time_ms, \
             event_id, revision, headers, key, payload, reason, create_time \
         from dead_letters \
         where dead_letter_id = $2 and (consumer = $1 or kafka_offset is null) for update",
    )
    .bind(consumer)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Notes why a replay did not help.
pub(super) async fn explain(conn: &mut PgConnection, id: i64, reason: &str) -> sqlx::Result<()> {
    sqlx::query("update dead_letters set reason = $2 where dead_letter_id = $1")
        .bind(id)
        .bind(reason)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn delete(conn: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query("delete from dead_letters where dead_letter_id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Appends an event to the outbox again, as it was: under the same id, so that whoever did
/// receive it absorbs it.
pub(super) async fn requeue(
    conn: &mut PgConnection,
    letter: &DeadLetter,
    event: &Message,
) -> sqlx::Result<()> {
    let time = letter.headers.get("ce_time");
    let time = time.and_then(|time| time.parse::<DateTime<Utc>>().ok());
    sqlx::query(
        "insert into outbox (part, event_id, event_type, order_id, revision, occur_time, \
                             payload, traceparent, tracestate) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(outbox::part(event.order_id))
    .bind(event.event_id)
    .bind(&event.event_type)
    .bind(event.order_id)
    .bind(letter.revision)
    .bind(time.unwrap_or(letter.create_time))
    .bind(&event.payload[..])
    .bind(&event.trace.traceparent)
    .bind(&event.trace.tracestate)
    .execute(conn)
    .await?;
    Ok(())
}
