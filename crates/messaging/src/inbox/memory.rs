//! What the inbox can remember, and what it cannot.
//!
//! An id has its place in the partition of the day on which it was made. Postgres itself says
//! that there is none, in the statement that inserts the id: asked before, the answer could be
//! outdated by a partition that leaves meanwhile.

use super::apply;
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// Which table has no partition for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// For an id: that lies with the message, and will not change.
    InInbox,
    /// For a row of another table: that lies with us, and may change.
    Elsewhere,
}

/// Whether an error says that a row has no partition. Its SQLSTATE is that of a violated check
/// constraint, without a constraint.
pub(super) fn no_place(error: &sqlx::Error) -> Option<NoPlace> {
    let error = error.as_database_error()?;
    let lacks = error.code().as_deref() == Some("23514") && error.constraint().is_none();
    lacks.then(|| match error.table() {
        Some("inbox") => NoPlace::InInbox,
        _ => NoPlace::Elsewhere,
    })
}

/// Why a message is parked whose id has no place.
pub(super) fn reason(event_id: Uuid, now: DateTime<Utc>) -> String {
    let made = crate::housekeeping::id_time(event_id);
    let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    match made {
        _ if event_id.get_version_num() != 7 => {
            format!(
                "event {event_id} has no UUIDv7, which would say when it was made: it cannot be remembered"
            )
        }
        Some(made) if made <= now => format!(
            "event {event_id} was made at {}, before all that the inbox remembers: whether it was handled is not known",
            at(made)
        ),
        made => format!(
            "event {event_id} was made in the future, at {}: it cannot be remembered",
            made.map_or("an impossible time".to_owned(), at)
        ),
    }
}

/// What became of an id that was to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is remembered from now on.
    New,
    /// It was before.
    Known,
    /// It has no place, and is refused whenever it is delivered.
    NoPlace,
}

/// Records the id of a message, if it has a place.
pub(crate) async fn record(
    conn: &mut PgConnection,
    consumer: &str,
    event_id: Uuid,
) -> sqlx::Result<Recorded> {
    let mut savepoint = conn.begin().await?;
    match apply::insert_ids(&mut savepoint, consumer, vec![event_id]).await {
        Ok(new) => {
            savepoint.commit().await?;
            Ok(if new.is_empty() {
                Recorded::Known
            } else {
                Recorded::New
            })
        }
        Err(error) if no_place(&error) == Some(NoPlace::InInbox) => {
            savepoint.rollback().await?;
            Ok(Recorded::NoPlace)
        }
        Err(error) => Err(error),
    }
}
