//! How much waits in the outbox, and for whom.
//!
//! Problem: a relay reads only below the horizon, and the horizon is the whole
//! server's. One writing transaction that is never ended, in whatever database of it,
//! stops every relay, and nothing fails: events just wait.
//! Guarantee: it is seen. Depth and age of what waits are metrics, and if rows wait
//! above the horizon for long, whoever holds it back is named once, with the way out.
//! Not guaranteed: that our own long transactions are named rather than ended: every
//! connection of ours has timeouts that do it.

use crate::metrics::{self, Backlog};
use lifecycle::postgres::bounded;
use sqlx::PgPool;
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, sleep};

/// The least time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A look at a large backlog takes longer. It gets no more than this part of the time.
const SHARE: u32 = 20;
/// The most rows of a part that are counted.
const COUNTED: i64 = 10_000;
/// For how long rows wait above the horizon before somebody is told. Our own
/// transactions are done in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at one outbox.
pub(super) struct Watch {
    pool: PgPool,
    topic: String,
    /// The transaction that was named last.
    named: Option<i64>,
}

/// Who holds the horizon back.
#[derive(Debug, sqlx::FromRow)]
struct Culprit {
    xid: i64,
    pid: Option<i32>,
    database: Option<String>,
    role: Option<String>,
    application: Option<String>,
    /// Known of our own role's transactions only, unless we may read all statistics.
    age_s: Option<f64>,
    /// It is a prepared transaction.
    gid: Option<String>,
}

impl Watch {
    pub(super) fn new(pool: PgPool, topic: String) -> Self {
        Self {
            pool,
            topic,
            named: None,
        }
    }

    /// Looks until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let begin = Instant::now();
            if let Err(error) = self.look().await {
                // The relay itself says that the database is away.
                tracing::debug!(%error, topic = self.topic, "the backlog is unknown");
            }
            sleep(PAUSE.max(begin.elapsed() * SHARE)).await;
        }
    }

    async fn look(&mut self) -> sqlx::Result<()> {
        let backlog = bounded(backlog(&self.pool)).await?;
        metrics::backlog(&self.topic, &backlog);
        if backlog.horizon_age >= PATIENCE {
            let culprit = bounded(culprit(&self.pool)).await?;
            if let Some(culprit) = culprit.filter(|culprit| self.named != Some(culprit.xid)) {
                self.named = Some(culprit.xid);
                self.warn(&backlog, &culprit);
            }
        } else if self.named.take().is_some() {
            tracing::info!(topic = self.topic, "events go out again");
        }
        Ok(())
    }

    fn warn(&self, backlog: &Backlog, culprit: &Culprit) {
        tracing::warn!(
            topic = self.topic,
            waiting = ?backlog.horizon_age,
            unsent = backlog.unsent,
            pid = culprit.pid,
            database = culprit.database,
            role = culprit.role,
            application = culprit.application,
            transaction_age_s = culprit.age_s,
            "events wait in the outbox until an older writing transaction of this server is over; \
             to end it: {}",
            culprit.way_out()
        );
    }
}

impl Culprit {
    fn way_out(&self) -> String {
        match (&self.gid, self.pid) {
            (Some(gid), _) => format!("rollback prepared '{}'", gid.replace('\'', "''")),
            (None, Some(pid)) => format!("select pg_terminate_backend({pid})"),
            (None, None) => format!("look for transaction {} in pg_locks", self.xid),
        }
    }
}

/// Rows that are not sent, whoever holds their part. A part whose first row is above
/// the horizon can publish none. And what is parked, by the way.
async fn backlog(pool: &PgPool) -> sqlx::Result<Backlog> {
    let (unsent, age_s, horizon_age_s, dead_letters): (i64, f64, f64, i64) = sqlx::query_as(
        "select coalesce(sum(depth.unsent), 0)::bigint, \
                coalesce(extract(epoch from max(first.age)), 0)::float8, \
                coalesce(extract(epoch from max(first.age) filter (where first.held)), 0)::float8, \
                (select count(*) from (select from dead_letters limit $1) parked) \
         from outbox_parts p \
         cross join lateral ( \
             select now() - create_time as age, \
                    xid >= pg_snapshot_xmin(pg_current_snapshot()) as held \
             from outbox where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) \
             order by xid, seq limit 1) first \
         cross join lateral ( \
             select count(*) as unsent from ( \
                 select from outbox \
                 where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) \
                 limit $1) unsent) depth",
    )
    .bind(COUNTED)
    .fetch_one(pool)
    .await?;
    // Negative for a row that was committed while the statement began.
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0));
    Ok(Backlog {
        unsent: u64::try_from(unsent).unwrap_or_default(),
        age: seconds(age_s),
        horizon_age: seconds(horizon_age_s),
        dead_letters: u64::try_from(dead_letters).unwrap_or_default(),
    })
}

/// The oldest writing transaction of the server, unless it is over by now.
///
/// Found by its lock on its own id, which everybody may see. `pg_stat_activity` hides
/// `backend_xid` and `xact_start` of other roles from us, but not who they are. It
/// shows nothing of a prepared transaction, which has no process.
async fn culprit(pool: &PgPool) -> sqlx::Result<Option<Culprit>> {
    sqlx::query_as(
        "select h.xid::text::bigint as xid, l.pid, \
                coalesce(a.datname, g.database)::text as database, \
                coalesce(a.usename, g.owner)::text as role, \
                a.application_name as application, g.gid, \
                extract(epoch from now() - coalesce(a.xact_start, g.prepared))::float8 as age_s \
         from pg_snapshot_xmin(pg_current_snapshot()) as h (xid) \
         join pg_locks l on l.locktype = 'transactionid' and l.transactionid = h.xid::xid \
                         and l.mode = 'ExclusiveLock' and l.granted \
         left join pg_stat_activity a on a.pid = l.pid \
         left join pg_prepared_xacts g on g.transaction = h.xid::xid",
    )
    .fetch_optional(pool)
    .await
}
