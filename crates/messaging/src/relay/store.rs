//! The relay's statements.

use super::settle::{Refused, Settled};
use chrono::{DateTime, Utc};
use lifecycle::postgres::begin;
use planted::Bug;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool, types::Json};
use std::collections::BTreeMap;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// A row of the outbox that is to be published.
#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    pub(super) part: i16,
    epoch: i64,
    xid: i64,
    seq: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) order_id: Uuid,
    revision: i64,
    pub(super) occur_time: DateTime<Utc>,
    pub(super) payload: Vec<u8>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    /// When it was written.
    pub(crate) create_time: DateTime<Utc>,
}

impl Row {
    /// The Kafka key.
    pub(super) fn key(&self) -> String {
        self.order_id.to_string()
    }

    pub(crate) fn trace(&self) -> TraceContext {
        TraceContext {
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
        }
    }
}

/// Where the cursor of a part is to stand.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) part: i16,
    epoch: i64,
    xid: i64,
    seq: i64,
    /// How many acknowledged events it passes.
    pub(super) events: usize,
}

impl Cursor {
    pub(super) fn at(row: &Row) -> Self {
        Self {
            part: row.part,
            epoch: row.epoch,
            xid: row.xid,
            seq: row.seq,
            events: 0,
        }
    }

    pub(super) fn move_to(&mut self, row: &Row) {
        *self = Self {
            events: self.events,
            ..Self::at(row)
        };
    }
}

/// Reads what waits in the parts of `owner`, at most `limit` rows of each, by part,
/// then in the order of transactions.
///
/// The horizon is the condition on `xid`: every transaction below
/// `pg_snapshot_xmin` is over, so no row can appear below a cursor that stays under
/// it. One long writing transaction, even in another database of the same server,
/// holds the horizon back: every connection of ours therefore has a
/// `transaction_timeout`, migrations apart.
///
/// The limit is part of the text: as a parameter it would have Postgres plan the statement
/// anew every time, which takes as long as running it.
pub(super) async fn unsent(pool: &PgPool, owner: Uuid, limit: i64) -> sqlx::Result<Vec<Row>> {
    let mut statement = format!(
        "select p.part, p.epoch, o.xid::text::bigint as xid, o.seq, o.event_id, o.event_type, \
                o.order_id, o.revision, o.occur_time, o.payload, o.traceparent, o.tracestate, \
                o.create_time \
         from outbox_parts p cross join lateral ( \
             select * from outbox \
             where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) \
               and xid < pg_snapshot_xmin(pg_current_snapshot()) \
             order by xid, seq limit {limit}) o \
         where p.owner = $1 and p.lease_expire_time > now() \
         order by p.part, o.xid, o.seq",
    );
    if planted::bug(Bug::SerialCursor) {
        statement = bare_serial(&statement);
    }
    // A number, and the same one for as long as the process runs.
    sqlx::query_as(AssertSqlSafe(statement))
        .bind(owner)
        .fetch_all(pool)
        .await
}

/// The same without a horizon: what commits late lies below the cursor.
fn bare_serial(statement: &str) -> String {
    statement
        .replace(
            "(xid, seq) > (p.cursor_xid, p.cursor_seq)",
            "seq > p.cursor_seq",
        )
        .replace("and xid < pg_snapshot_xmin(pg_current_snapshot())", "")
        .replace("by xid, seq", "by seq")
        .replace("by p.part, o.xid, o.seq", "by p.part, o.seq")
}

/// Moves cursors, and parks what they pass that Kafka will never take. Returns the
/// parts whose cursor moved.
///
/// Both are one transaction: an event is left for the next try or parked, never neither
/// and never both.
pub(super) async fn settle(
    pool: &PgPool,
    owner: Uuid,
    topic: &str,
    settled: &Settled<'_>,
    headers: impl Fn(&Row) -> BTreeMap<String, String>,
) -> sqlx::Result<Vec<i16>> {
    if settled.refused.is_empty() {
        return advance(pool, owner, &settled.cursors).await;
    }
    let mut tx = begin(pool).await?;
    let moved = advance(&mut *tx, owner, &settled.cursors).await?;
    for refused in &settled.refused {
        // A part that changed hands is its new owner's to judge.
        if moved.contains(&refused.row.part) {
            park(&mut tx, topic, refused, headers(refused.row)).await?;
        }
    }
    tx.commit().await?;
    Ok(moved)
}

/// Moves cursors, each only if its part is still in the owner's hands since it was
/// read. Returns the parts whose cursor moved.
async fn advance(
    db: impl PgExecutor<'_>,
    owner: Uuid,
    cursors: &[Cursor],
) -> sqlx::Result<Vec<i16>> {
    if cursors.is_empty() {
        return Ok(Vec::new());
    }
    let column = |value: fn(&Cursor) -> i64| cursors.iter().map(value).collect::<Vec<_>>();
    sqlx::query_scalar(planted::swap(
        Bug::NoLeaseEpoch,
        "p.owner = $1 and p.epoch = c.epoch",
        "$1::uuid is not null",
        "update outbox_parts p \
         set cursor_xid = c.xid::text::xid8, cursor_seq = c.seq \
         from unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
              as c (part, epoch, xid, seq) \
         where p.part = c.part and p.owner = $1 and p.epoch = c.epoch \
         returning p.part",
    ))
    .bind(owner)
    .bind(cursors.iter().map(|c| c.part).collect::<Vec<_>>())
    .bind(column(|c| c.epoch))
    .bind(column(|c| c.xid))
    .bind(column(|c| c.seq))
    .fetch_all(db)
    .await
}

/// Parks an event as it would have been sent. It has no origin in Kafka; its event id
/// tells it apart.
async fn park(
    conn: &mut PgConnection,
    topic: &str,
    refused: &Refused<'_>,
    headers: BTreeMap<String, String>,
) -> sqlx::Result<()> {
    let row = refused.row;
    sqlx::query(
        "insert into dead_letters (consumer, topic, event_id, revision, headers, key, payload, \
                                   reason) \
         values ('relay', $1, $2, $3, $4, $5, $6, $7) \
         on conflict (event_id) where kafka_offset is null do nothing",
    )
    .bind(topic)
    .bind(row.event_id)
    .bind(row.revision)
    .bind(Json(headers))
    .bind(row.key().into_bytes())
    .bind(&row.payload)
    .bind(format!("Kafka refuses it: {}", refused.reason))
    .execute(conn)
    .await?;
    Ok(())
}
