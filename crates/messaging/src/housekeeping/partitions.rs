//! Which days there are, and making those to come.
//!
//! A partition is a day. Those of the next days are made ahead, so that a housekeeping that
//! fails stops nothing for a long weekend. There is no default partition: see `leave`.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::ops::Range;
use uuid::Uuid;

/// How far ahead partitions are made: a long weekend. An event that is dated further into the
/// future has no place in the inbox.
const AHEAD: TimeDelta = TimeDelta::days(4);

/// A table that is divided by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// By the time of the row.
    Outbox,
    /// By the event's id, a `UUIDv7`, which begins with the time it was made.
    Inbox,
}

/// A partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// Quoted where it must be.
    pub(super) name: String,
    /// Its days end here.
    pub(super) until: DateTime<Utc>,
    /// Detaching it was interrupted.
    pub(super) pending: bool,
}

impl Table {
    pub(super) const ALL: [Self; 2] = [Self::Outbox, Self::Inbox];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Inbox => "inbox",
        }
    }

    /// The partition key of a row that was made at this time.
    fn key(self, time: DateTime<Utc>) -> String {
        match self {
            Self::Outbox => time.to_rfc3339(),
            Self::Inbox => smallest_id(time).to_string(),
        }
    }

    /// The time of a partition key, as Postgres writes it.
    fn time(self, key: &str) -> Option<DateTime<Utc>> {
        match self {
            Self::Outbox => DateTime::parse_from_str(key, "%Y-%m-%d %H:%M:%S%.f%#z")
                .ok()
                .map(|time| time.to_utc()),
            Self::Inbox => key.parse().ok().and_then(id_time),
        }
    }
}

/// When an event was made, as its id says.
pub(crate) fn id_time(id: Uuid) -> Option<DateTime<Utc>> {
    let milliseconds = i64::try_from(id.as_u128() >> 80).ok()?;
    DateTime::from_timestamp_millis(milliseconds)
}

fn smallest_id(time: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(milliseconds << 80)
}

/// The partitions of a table, the oldest first.
pub(super) async fn list(conn: &mut PgConnection, table: Table) -> sqlx::Result<Vec<Partition>> {
    let rows: Vec<(String, String, bool)> = sqlx::query_as(
        "select name, bound[1], pending from ( \
             select c.oid::regclass::text as name, i.inhdetachpending as pending, \
                    regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \\('(.*)'\\)$$) as bound \
             from pg_inherits i join pg_class c on c.oid = i.inhrelid \
             where i.inhparent = $1::text::regclass) as partition \
         where bound is not null",
    )
    .bind(table.name())
    .fetch_all(conn)
    .await?;
    let partition = |(name, bound, pending): (String, String, bool)| {
        let until = table.time(&bound);
        let until = until.ok_or_else(|| sqlx::Error::Decode(format!("{name}: {bound}").into()))?;
        Ok(Partition {
            name,
            until,
            pending,
        })
    };
    let mut partitions = rows
        .into_iter()
        .map(partition)
        .collect::<sqlx::Result<Vec<_>>>()?;
    partitions.sort_by_key(|partition| partition.until);
    Ok(partitions)
}

/// Whether both tables take rows that are made now.
pub(super) async fn open(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<bool> {
    for table in Table::ALL {
        let last = list(conn, table).await?.pop();
        if last.is_none_or(|last| last.until <= now) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes what is missing of the days to come, and returns how many partitions that were.
pub(super) async fn make(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let mut made = 0;
    for table in Table::ALL {
        let last = list(conn, table).await?.pop();
        for days in missing(last.map(|last| last.until), now) {
            attach(conn, table, days).await?;
            made += 1;
        }
    }
    Ok(made)
}

/// `create table … partition of` would lock the parent against everybody, and queue behind
/// whoever reads it; `attach partition` stops no reader and no writer.
async fn attach(
    conn: &mut PgConnection,
    table: Table,
    days: Range<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let parent = table.name();
    let name = format!("{parent}_{}", days.start.format("%Y%m%d"));
    let (from, until) = (table.key(days.start), table.key(days.end));
    let mut tx = conn.begin().await?;
    for statement in [
        // A partition has its parent's identity column, and may not bring its own.
        format!("create table {name} (like {parent} including all excluding identity)"),
        // It is empty: there is nothing to be scanned.
        format!(
            "alter table {parent} attach partition {name} for values from ('{from}') to ('{until}')"
        ),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}

/// The partitions that are missing between the last one there is and the days to come: one for
/// all that was missed, then one a day. Without gaps: events may be handled late.
fn missing(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Range<DateTime<Utc>>> {
    let today = midnight(now);
    let mut from = last.unwrap_or(today);
    let mut missing = Vec::new();
    while from < now + AHEAD {
        let until = if from < today {
            today
        } else {
            midnight(from) + TimeDelta::days(1)
        };
        missing.push(from..until);
        from = until;
    }
    missing
}

/// Days are UTC's: no day has 23 hours.
fn midnight(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests;
