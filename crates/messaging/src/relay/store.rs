//! The relay's two statements.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// A row of the outbox that is to be published.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) part: i16,
    epoch: i64,
    xid: i64,
    seq: i64,
    pub(super) event_id: Uuid,
    pub(super) event_type: String,
    pub(super) order_id: Uuid,
    pub(super) occur_time: DateTime<Utc>,
    pub(super) payload: Vec<u8>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Row {
    pub(super) fn trace(&self) -> TraceContext {
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
    /// How many events it passes.
    pub(super) events: usize,
}

impl Cursor {
    pub(super) fn at(row: &Row) -> Self {
        Self {
            part: row.part,
            epoch: row.epoch,
            xid: row.xid,
            seq: row.seq,
            events: 1,
        }
    }

    pub(super) fn pass(&mut self, row: &Row) {
        *self = Self {
            events: self.events + 1,
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
/// `transaction_timeout`.
pub(super) async fn unsent(pool: &PgPool, owner: Uuid, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select p.part, p.epoch, o.xid::text::bigint as xid, o.seq, o.event_id, o.event_type, \
                o.order_id, o.occur_time, o.payload, o.traceparent, o.tracestate \
         from outbox_parts p cross join lateral ( \
             select * from outbox \
             where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) \
               and xid < pg_snapshot_xmin(pg_current_snapshot()) \
             order by xid, seq limit $2) o \
         where p.owner = $1 and p.lease_expire_time > now() \
         order by p.part, o.xid, o.seq",
    )
    .bind(owner)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// Moves cursors, each only if its part is still in the owner's hands since it was
/// read. Returns the parts whose cursor moved.
pub(super) async fn advance(
    pool: &PgPool,
    owner: Uuid,
    cursors: &[Cursor],
) -> sqlx::Result<Vec<i16>> {
    if cursors.is_empty() {
        return Ok(Vec::new());
    }
    let column = |value: fn(&Cursor) -> i64| cursors.iter().map(value).collect::<Vec<_>>();
    sqlx::query_scalar(
        "update outbox_parts p \
         set cursor_xid = c.xid::text::xid8, cursor_seq = c.seq \
         from unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
              as c (part, epoch, xid, seq) \
         where p.part = c.part and p.owner = $1 and p.epoch = c.epoch \
         returning p.part",
    )
    .bind(owner)
    .bind(cursors.iter().map(|c| c.part).collect::<Vec<_>>())
    .bind(column(|c| c.epoch))
    .bind(column(|c| c.xid))
    .bind(column(|c| c.seq))
    .fetch_all(pool)
    .await
}
