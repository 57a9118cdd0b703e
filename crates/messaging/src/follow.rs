//! Reading one's own outbox from a place that the reader keeps.
//!
//! All instances of a service share the outbox, and it has one sequence: whoever knows how far it
//! read goes on at any of them. Like the relay, a reader looks below the horizon only, so that
//! nothing is committed behind it.
//!
//! Not guaranteed: order across transactions; and what was dropped since. A place that is older
//! than the retention is of no use any more: see `Place::is_within`. Nor a place in a database
//! that was restored from a copy and has come further since than the place: what lies between is
//! not missed by anybody who looks while it is behind.

use crate::outbox::PARTS;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use std::{fmt, str::FromStr, time::Duration};
use uuid::Uuid;

/// Longer than any transaction: a row is as old as the transaction that wrote it.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::seconds(30);

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    xid: i64,
    seq: i64,
    /// By the database's clock. Nothing comes after it that is older by more than a transaction.
    time: DateTime<Utc>,
}

/// A change of an aggregate, and the place after it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The aggregate.
    pub order_id: Uuid,
    /// Its revision after the change.
    pub revision: i64,
    /// Where to go on.
    pub place: Place,
}

impl Place {
    /// Whether all that comes after it is still kept at present.
    pub fn is_within(&self, retention: Duration, present: &Self) -> bool {
        let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        present.time - self.time <= retention - LONGEST_TRANSACTION
    }

    /// The same place, after which nothing was to be read at present.
    #[must_use]
    pub fn as_of(self, present: &Self) -> Self {
        let time = present.time;
        Self { time, ..self }
    }

    /// Whether this cluster has come as far. It has not, if it was restored from a copy.
    pub fn is_before(&self, present: &Self) -> bool {
        self.xid <= present.xid
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { xid, seq, time } = self;
        write!(f, "{xid} {seq} {}", time.timestamp_millis())
    }
}

/// The text is none that a place was written as.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a place in the outbox")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
        let [xid, seq, millis] = numbers.map_err(|_| NoPlace)?[..] else {
            return Err(NoPlace);
        };
        let time = DateTime::from_timestamp_millis(millis).ok_or(NoPlace)?;
        Ok(Self { xid, seq, time })
    }
}

/// The place after which the changes to come lie.
///
/// # Errors
/// What the database answers.
pub async fn present(conn: &mut PgConnection) -> sqlx::Result<Place> {
    let (xid, time) =
        sqlx::query_as("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, now()")
            .fetch_one(conn)
            .await?;
    Ok(Place { xid, seq: -1, time })
}

/// Changes after a cursor that lie below the horizon: of how many parts, its xid, its seq, at most.
pub(crate) const AFTER: &str = "select o.order_id, o.revision, o.xid::text::bigint as xid, o.seq, o.create_time \
     from generate_series(0, $1::int - 1) as p (part) cross join lateral ( \
         select * from outbox \
         where part = p.part and (xid, seq) > ($2::bigint::text::xid8, $3) \
           and xid < pg_snapshot_xmin(pg_current_snapshot()) \
         order by xid, seq limit $4) o \
     order by o.xid, o.seq limit $4";

#[derive(sqlx::FromRow)]
struct Row {
    order_id: Uuid,
    revision: i64,
    xid: i64,
    seq: i64,
    create_time: DateTime<Utc>,
}

/// At most so many changes after a place.
///
/// # Errors
/// What the database answers.
pub async fn after(conn: &mut PgConnection, place: Place, limit: i64) -> sqlx::Result<Vec<Step>> {
    let rows: Vec<Row> = sqlx::query_as(AFTER)
        .bind(i32::from(PARTS))
        .bind(place.xid)
        .bind(place.seq)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Step::from).collect())
}

impl From<Row> for Step {
    fn from(row: Row) -> Self {
        let Row {
            order_id,
            revision,
            xid,
            seq,
            create_time,
        } = row;
        let place = Place {
            xid,
            seq,
            time: create_time,
        };
        Self {
            order_id,
            revision,
            place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let time = DateTime::from_timestamp_millis(1_795_302_018_784).expect("it is a time");
        let place = Place {
            xid: 7,
            seq: -1,
            time,
        };
        let read: Place = place.to_string().parse().expect("it was just written");
        assert_eq!(read, place);
        for text in [
            "",
            "7",
            "7 8",
            "7 8 9 10",
            "7 8 x",
            "7 8 9223372036854775807",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_place_is_good_for_as_long_as_all_that_follows_is_kept() {
        let hour = Duration::from_secs(60 * 60);
        let place = |ago| Place {
            xid: 7,
            seq: 8,
            time: DateTime::UNIX_EPOCH - ago,
        };
        let present = place(TimeDelta::zero());
        assert!(place(TimeDelta::minutes(59)).is_within(hour, &present));
        assert!(!place(TimeDelta::minutes(60)).is_within(hour, &present));
    }
}
