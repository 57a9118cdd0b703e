//! Detaching without stopping anybody.
//!
//! `drop table` on a partition, and a plain `detach partition`, lock the parent against
//! everybody: they queue behind the longest reader, and every insert queues behind them.
//! `detach … concurrently` holds no lock while it waits for those who may still look into the
//! partition. Its price: it is no transaction. Interrupted, it leaves a partition that is
//! "pending", invisible to new statements, and to be finalized before another may leave. It
//! does not work with a default partition at all.

use super::partitions::{Table, list};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection};

/// What became of the partitions that are over.
#[derive(Default)]
pub(super) struct Left {
    pub(super) left: usize,
    pub(super) unsent: usize,
}

/// Lets go of the days of the outbox that ended before `end` and are sent. A row is sent if the
/// cursor of its part has passed it.
pub(super) async fn outbox(conn: &mut PgConnection, end: DateTime<Utc>) -> sqlx::Result<Left> {
    // A row bears the time at which its transaction began. One that is still open may yet write
    // into its day: asked before looking for rows, for in between it could commit.
    let end = match oldest_transaction(conn).await? {
        Some(begun) => end.min(begun),
        None => end,
    };
    let mut done = Left {
        left: finish(conn, Table::Outbox).await?,
        unsent: 0,
    };
    for name in over(conn, Table::Outbox, end).await? {
        if holds_unsent(conn, &name).await? {
            done.unsent += 1;
        } else {
            leave(conn, Table::Outbox, &name).await?;
            done.left += 1;
        }
    }
    Ok(done)
}

/// Lets go of the days of the inbox that ended before `end`.
pub(super) async fn inbox(conn: &mut PgConnection, end: DateTime<Utc>) -> sqlx::Result<Left> {
    let mut left = finish(conn, Table::Inbox).await?;
    for name in over(conn, Table::Inbox, end).await? {
        leave(conn, Table::Inbox, &name).await?;
        left += 1;
    }
    Ok(Left { left, unsent: 0 })
}

async fn over(
    conn: &mut PgConnection,
    table: Table,
    end: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    let partitions = list(conn, table).await?.into_iter();
    let over = partitions.filter(|partition| partition.until <= end);
    Ok(over.map(|partition| partition.name).collect())
}

async fn oldest_transaction(conn: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "select min(xact_start) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_one(conn)
    .await
}

async fn holds_unsent(conn: &mut PgConnection, partition: &str) -> sqlx::Result<bool> {
    let question = format!(
        "select exists (select from outbox_parts p, lateral ( \
             select from {partition} \
             where part = p.part and (xid, seq) > (p.cursor_xid, p.cursor_seq) limit 1) unsent)"
    );
    sqlx::query_scalar(AssertSqlSafe(question))
        .persistent(false)
        .fetch_one(conn)
        .await
}

/// Each step finds its own trace when it was interrupted: see [`finish`].
async fn leave(conn: &mut PgConnection, table: Table, partition: &str) -> sqlx::Result<()> {
    let (parent, mark) = (table.name(), mark(table));
    execute(conn, format!("comment on table {partition} is '{mark}'")).await?;
    // Crash here: still a partition; whether it is to leave is decided anew.
    let detach = format!("alter table {parent} detach partition {partition} concurrently");
    execute(conn, detach).await?;
    // Crash here: a table with our mark, and no partition.
    drop_detached(conn, table, partition).await
}

/// Nobody can write to it any more. Looked at again all the same: a transaction that we
/// cannot see (another role's, or a prepared one) may have written before the detach, which
/// waited for it.
async fn drop_detached(conn: &mut PgConnection, table: Table, name: &str) -> sqlx::Result<()> {
    if table == Table::Outbox && holds_unsent(conn, name).await? {
        tracing::error!(
            partition = name,
            "detached, and holds events that are not sent: insert them into outbox again, but for xid, seq and create_time, and drop it"
        );
        return Ok(());
    }
    execute(conn, format!("drop table {name}")).await?;
    tracing::info!(partition = name, "left");
    Ok(())
}

/// Finishes what an earlier pass could not: it was killed, or a reader outlasted its patience.
/// Returns how many partitions left by it.
async fn finish(conn: &mut PgConnection, table: Table) -> sqlx::Result<usize> {
    let parent = table.name();
    let partitions = list(conn, table).await?.into_iter();
    for partition in partitions.filter(|partition| partition.pending) {
        let name = partition.name;
        execute(
            conn,
            format!("alter table {parent} detach partition {name} finalize"),
        )
        .await?;
    }
    let detached = detached(conn, table).await?;
    for name in &detached {
        drop_detached(conn, table, name).await?;
    }
    Ok(detached.len())
}

/// The tables that we detached and did not drop. Not told by their names: what people detach
/// or copy to keep it is theirs.
async fn detached(conn: &mut PgConnection, table: Table) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select oid::regclass::text from pg_class \
         where relkind = 'r' and not relispartition and obj_description(oid, 'pg_class') = $2 \
           and relnamespace = (select relnamespace from pg_class where oid = $1::text::regclass)",
    )
    .bind(table.name())
    .bind(mark(table))
    .fetch_all(conn)
    .await
}

fn mark(table: Table) -> String {
    format!("leaves {}: see housekeeping", table.name())
}

/// One statement, and no transaction around it: `concurrently` would refuse.
async fn execute(conn: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(conn)
        .await?;
    Ok(())
}
