//! The transaction that an inbox is about: ids, effects and dead letters.

use super::{Error, Handler, Message, Outcome, Processed, Received};
use crate::dead_letters;
use lifecycle::postgres::bounded;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// What the statements of a batch may take, seen from here: see [`bounded`].
const PATIENCE: Duration = Duration::from_secs(12);

/// What became of a transaction.
pub(crate) enum Attempt {
    /// It is durable.
    Committed(Processed),
    /// Rolled back: a message asked for a retry.
    Retry(String),
    /// Rolled back: the database blames the data of a message.
    Poison(String),
}

/// Handles a batch in one transaction.
pub(super) async fn transaction<H: Handler>(
    pool: &PgPool,
    consumer: &str,
    handler: &H,
    batch: &[Received],
) -> Result<Attempt, Error> {
    let mut tx = bounded(pool.begin()).await?;
    let applied = timeout(PATIENCE, apply(&mut tx, consumer, handler, batch)).await;
    let attempt = match applied.unwrap_or(Err(Error::Database(sqlx::Error::PoolTimedOut))) {
        Err(Error::Database(error)) => refusal(error)?,
        attempt => attempt?,
    };
    match &attempt {
        // The outcome of a COMMIT that failed is unknown. The batch is tried again;
        // if it was committed, it meets its ids.
        Attempt::Committed(_) => bounded(tx.commit()).await?,
        Attempt::Retry(_) | Attempt::Poison(_) => bounded(tx.rollback()).await?,
    }
    Ok(attempt)
}

/// Parks one message that cannot be handled, with its id, so that it is not tried
/// again when it is delivered again.
pub(super) async fn park(
    pool: &PgPool,
    consumer: &str,
    received: &Received,
    reason: &str,
) -> Result<Processed, Error> {
    let mut tx = pool.begin().await?;
    if let Ok(message) = &received.message {
        insert_ids(&mut tx, consumer, std::slice::from_ref(message)).await?;
    }
    dead_letters::park(&mut tx, consumer, received, reason).await?;
    tx.commit().await?;
    Ok(Processed {
        received: 1,
        dead_letters: 1,
        ..Processed::default()
    })
}

async fn apply<H: Handler>(
    conn: &mut PgConnection,
    consumer: &str,
    handler: &H,
    batch: &[Received],
) -> Result<Attempt, Error> {
    let mut processed = Processed {
        received: batch.len(),
        ..Processed::default()
    };
    let mut understood = Vec::with_capacity(batch.len());
    for received in batch {
        match &received.message {
            Ok(message) => understood.push((received, message.clone())),
            Err(malformed) => {
                dead_letters::park(conn, consumer, received, &malformed.to_string()).await?;
                processed.dead_letters += 1;
            }
        }
    }
    let (origins, messages): (Vec<_>, Vec<_>) = understood.into_iter().unzip();
    let (origins, fresh) = only_fresh(conn, consumer, origins, messages).await?;
    processed.duplicates = batch.len() - processed.dead_letters - fresh.len();
    if fresh.is_empty() {
        return Ok(Attempt::Committed(processed));
    }
    let outcomes = handler.handle(conn, &fresh).await?;
    if outcomes.len() != fresh.len() {
        return Err(Error::HandlerContract {
            given: fresh.len(),
            returned: outcomes.len(),
        });
    }
    for (received, outcome) in origins.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Done => processed.done += 1,
            Outcome::Absorbed(_) => processed.absorbed += 1,
            Outcome::Retry(reason) => return Ok(Attempt::Retry(reason)),
            Outcome::DeadLetter(reason) => {
                dead_letters::park(conn, consumer, received, &reason).await?;
                processed.dead_letters += 1;
            }
        }
    }
    Ok(Attempt::Committed(processed))
}

/// Records the ids of a batch and keeps the messages whose id is new, the first of
/// each.
async fn only_fresh<'a>(
    conn: &mut PgConnection,
    consumer: &str,
    origins: Vec<&'a Received>,
    messages: Vec<Message>,
) -> sqlx::Result<(Vec<&'a Received>, Vec<Message>)> {
    let mut new = insert_ids(conn, consumer, &messages).await?;
    Ok(origins
        .into_iter()
        .zip(messages)
        .filter(|(_, message)| new.remove(&message.event_id))
        .unzip())
}

/// Inserts first, so that a twin of this transaction waits here, before any effect,
/// until this one is over. Sorted, because two consumers that meet in a rebalance
/// would otherwise wait for each other.
pub(crate) async fn insert_ids(
    conn: &mut PgConnection,
    consumer: &str,
    messages: &[Message],
) -> sqlx::Result<HashSet<Uuid>> {
    let mut ids: Vec<Uuid> = messages.iter().map(|message| message.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "insert into inbox (consumer, event_id) select $1, unnest($2::uuid[]) \
         on conflict do nothing returning event_id",
    )
    .bind(consumer)
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(new.into_iter().collect())
}

/// What an error of a statement means for the batch.
///
/// SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation) blame what a
/// message holds. Any other answer of the database (a row lock held for too long, a deadlock, a
/// row that this version cannot read) is about one order, too, but may go well later. Only where
/// the database does not answer at all is the batch kept as it is.
pub(crate) fn refusal(error: sqlx::Error) -> Result<Attempt, Error> {
    let code = error.as_database_error().and_then(|error| error.code());
    if code.is_some_and(|code| code.starts_with("22") || code.starts_with("23")) {
        return Ok(Attempt::Poison(error.to_string()));
    }
    match error {
        sqlx::Error::Database(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            Ok(Attempt::Retry(error.to_string()))
        }
        error => Err(error.into()),
    }
}
