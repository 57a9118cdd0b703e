//! An outbox from another cluster is refused.
//!
//! Rows and cursors hold transaction ids, which mean something in the cluster that gave
//! them. A dump that is restored into a younger cluster brings ids that this one has
//! not come to: its rows would wait until it has, which may take years, and every event
//! written until then would lie below the cursors and never be published. Nothing would
//! fail. So a service does not start on such an outbox.

use lifecycle::postgres::bounded;
use sqlx::PgPool;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two tries when the database does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// The outbox was written in another cluster.
#[derive(Debug, thiserror::Error)]
#[error(
    "the outbox is from another Postgres cluster: it holds transaction id {found}, and this one \
     has only come to {reached}. Until it has come further, events that wait would not be \
     published, and new ones never. Was the database restored from a dump? Then run in it \
     `select outbox_restored();`, which brings the outbox to this cluster's ids and loses \
     nothing, and start again"
)]
pub struct Foreign {
    /// The greatest transaction id in the outbox.
    pub found: String,
    /// The one that this cluster gives next.
    pub reached: String,
}

/// Refuses an outbox that was written in another cluster and not brought to this one's
/// ids since.
///
/// To be called after the migrations, before anything is written. Waits while the
/// database is away; returns early when stopped.
///
/// # Errors
/// [`Foreign`].
pub async fn refuse_foreign(pool: &PgPool, stop: &CancellationToken) -> Result<(), Foreign> {
    while !stop.is_cancelled() {
        match bounded(foreign(pool)).await {
            Ok(None) => break,
            Ok(Some((found, reached))) => return Err(Foreign { found, reached }),
            Err(error) => tracing::warn!(%error, "cannot look at the outbox; trying on"),
        }
        stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
    Ok(())
}

/// Whatever is committed has an id below `pg_snapshot_xmax`, so at home there is none.
/// Looks at the last row of each part, not at all.
async fn foreign(pool: &PgPool) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query_as(
        "select max(greatest(p.cursor_xid, o.xid))::text, \
                min(pg_snapshot_xmax(pg_current_snapshot()))::text \
         from outbox_parts p left join lateral ( \
             select xid from outbox where part = p.part order by xid desc, seq desc limit 1) o \
             on true \
         where greatest(p.cursor_xid, o.xid) >= pg_snapshot_xmax(pg_current_snapshot()) \
         having count(*) > 0",
    )
    .fetch_optional(pool)
    .await
}
