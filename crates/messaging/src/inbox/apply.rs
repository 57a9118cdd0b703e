//! The transaction that an inbox is about: ids, effects and dead letters.

use super::{
    Error, Handler, Outcome, Processed,
    delivery::{Content, Delivery},
    memory::{self, NoPlace, Recorded},
};
use crate::{dead_letters, spans};
use chrono::Utc;
use lifecycle::postgres::{PATIENCE, begin, bounded};
use planted::Bug;
use sqlx::{PgConnection, PgPool};
use std::collections::HashSet;
use telemetry::{semconv::outcome, spans::Open};
use tokio::time::timeout;
use uuid::Uuid;

/// What became of a transaction.
pub(super) enum Attempt {
    /// It is durable.
    Committed(Processed),
    /// There was none: nothing in the batch is ours.
    NotNeeded(Processed),
    /// Rolled back: a message asked for a retry.
    Retry(String),
    /// Rolled back: the database blames the data of a message.
    Poison(String),
}

impl Attempt {
    /// Why it is none that was committed, for its span.
    fn word(&self) -> &'static str {
        match self {
            Self::Committed(_) | Self::NotNeeded(_) => "",
            Self::Retry(_) => "retry",
            Self::Poison(_) => "poison",
        }
    }
}

/// Handles a batch in one transaction.
pub(super) async fn transaction<H: Handler>(
    pool: &PgPool,
    consumer: &str,
    handler: &H,
    batch: &[Delivery<H::Event>],
) -> Result<Attempt, Error> {
    if !batch.iter().any(Delivery::is_ours) {
        return Ok(Attempt::NotNeeded(Processed {
            received: batch.len(),
            absorbed: batch.len(),
            ..Processed::default()
        }));
    }
    let mut span = batch_span(batch);
    let attempt = attempt(pool, consumer, handler, batch).await;
    if !matches!(attempt, Ok(Attempt::Committed(_))) {
        batch
            .iter()
            .for_each(|delivery| delivery.ends(outcome::HELD_BACK));
        if let Some(span) = &mut span {
            span.fail(attempt.as_ref().map_or("not_committed", Attempt::word));
        }
    }
    attempt
}

/// Of a transaction with messages that drive a step.
fn batch_span<E>(batch: &[Delivery<E>]) -> Option<Open> {
    let topic = &batch.first()?.received.origin.topic;
    spans::process_batch(topic, batch.len(), batch.iter().filter_map(Delivery::span))
}

async fn attempt<H: Handler>(
    pool: &PgPool,
    consumer: &str,
    handler: &H,
    batch: &[Delivery<H::Event>],
) -> Result<Attempt, Error> {
    let mut tx = begin(pool).await?;
    let applied = timeout(PATIENCE, apply(&mut tx, consumer, handler, batch)).await;
    let attempt = match applied.unwrap_or(Err(Error::Database(sqlx::Error::PoolTimedOut))) {
        Err(Error::Database(error)) if memory::no_place(&error) == Some(NoPlace::InInbox) => {
            Attempt::Poison(forgotten(&error, batch))
        }
        Err(Error::Database(error)) => refusal(error)?.into(),
        attempt => attempt?,
    };
    match &attempt {
        // The outcome of a COMMIT that failed is unknown. The batch is tried again;
        // if it was committed, it meets its ids.
        Attempt::Committed(_) => bounded(tx.commit()).await?,
        // The server may have ended the transaction, and the connection with it, at a time
        // limit. Nothing depends on the rollback; if the server is away, the next
        // transaction says so.
        Attempt::Retry(_) | Attempt::Poison(_) | Attempt::NotNeeded(_) => {
            if let Err(error) = bounded(tx.rollback()).await {
                tracing::debug!(%error, "rolled back by the server");
            }
        }
    }
    Ok(attempt)
}

/// Parks one message that cannot be handled, with its id, so that it is not tried
/// again when it is delivered again.
pub(super) async fn park<E>(
    pool: &PgPool,
    consumer: &str,
    delivery: &Delivery<E>,
    reason: &str,
) -> Result<Processed, Error> {
    let received = &delivery.received;
    let processed = bounded(async {
        let mut tx = begin(pool).await?;
        let recorded = match &received.message {
            Ok(message) => Some(memory::record(&mut tx, consumer, message.event_id).await?),
            Err(_) => None,
        };
        let mut processed = Processed {
            received: 1,
            ..Processed::default()
        };
        if recorded == Some(Recorded::Known) {
            processed.duplicates = 1;
        } else {
            let remembered = recorded == Some(Recorded::New);
            let parked = dead_letters::park(&mut tx, consumer, received, remembered, reason);
            processed.count(parked.await?);
        }
        tx.commit().await?;
        Ok(processed)
    })
    .await?;
    delivery.ends(match processed.duplicates {
        0 => outcome::DEAD_LETTER,
        _ => outcome::DUPLICATE,
    });
    Ok(processed)
}

async fn apply<H: Handler>(
    conn: &mut PgConnection,
    consumer: &str,
    handler: &H,
    batch: &[Delivery<H::Event>],
) -> Result<Attempt, Error> {
    let mut processed = Processed {
        received: batch.len(),
        ..Processed::default()
    };
    let ids = batch.iter().filter_map(Delivery::event_id).collect();
    let mut new = insert_ids(conn, consumer, ids).await?;
    let (mut origins, mut events) = (Vec::new(), Vec::new());
    for delivery in batch {
        let received = &delivery.received;
        // Removed, so that of twins in one batch only the first is new.
        let seen = delivery.event_id().is_some_and(|id| !new.remove(&id));
        let seen = seen && !planted::bug(Bug::NoInbox);
        match &delivery.content {
            Content::NotOurs => {
                processed.absorbed += 1;
                delivery.ends(outcome::ABSORBED);
            }
            _ if seen => {
                processed.duplicates += 1;
                delivery.ends(outcome::DUPLICATE);
            }
            Content::Event(event) => {
                origins.push(delivery);
                events.push(event);
            }
            Content::Poison(reason) => {
                delivery.ends(outcome::DEAD_LETTER);
                processed.count(dead_letters::park(conn, consumer, received, true, reason).await?);
            }
        }
    }
    let outcomes = handle(handler, conn, &events).await?;
    for (delivery, outcome) in origins.into_iter().zip(outcomes) {
        delivery.ends(word(&outcome));
        match outcome {
            Outcome::Done => processed.done += 1,
            Outcome::Absorbed(_) => processed.absorbed += 1,
            Outcome::Retry(reason) => return Ok(Attempt::Retry(reason)),
            Outcome::DeadLetter(reason) => {
                let received = &delivery.received;
                processed.count(dead_letters::park(conn, consumer, received, true, &reason).await?);
            }
        }
    }
    Ok(Attempt::Committed(processed))
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => outcome::DONE,
        Outcome::Absorbed(_) => outcome::ABSORBED,
        Outcome::Retry(_) => outcome::HELD_BACK,
        Outcome::DeadLetter(_) => outcome::DEAD_LETTER,
    }
}

/// Has events handled, if there are any, and holds the handler to its contract.
async fn handle<H: Handler>(
    handler: &H,
    conn: &mut PgConnection,
    events: &[&H::Event],
) -> Result<Vec<Outcome>, Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let (given, outcomes) = (events.len(), handler.handle(conn, events).await?);
    let returned = outcomes.len();
    if returned != given {
        return Err(Error::HandlerContract { given, returned });
    }
    Ok(outcomes)
}

/// Inserts first, so that a twin of this transaction waits here, before any effect,
/// until this one is over. Sorted, because two consumers that meet in a rebalance
/// would otherwise wait for each other.
pub(crate) async fn insert_ids(
    conn: &mut PgConnection,
    consumer: &str,
    mut ids: Vec<Uuid>,
) -> sqlx::Result<HashSet<Uuid>> {
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

/// What an error of a statement says of what was to be handled.
pub(crate) enum Refusal {
    /// Its data are to blame.
    Poison(String),
    /// It may go well later.
    NotNow(String),
}

impl From<Refusal> for Attempt {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Poison(reason) => Self::Poison(reason),
            Refusal::NotNow(reason) => Self::Retry(reason),
        }
    }
}

/// What an error of a statement means for the batch.
///
/// SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation) blame what a
/// message holds. Any other answer of the database (a row lock held for too long, a deadlock, a
/// row that this version cannot read) is about one order, too, but may go well later. Only where
/// the database does not answer at all is the batch kept as it is.
pub(crate) fn refusal(error: sqlx::Error) -> Result<Refusal, Error> {
    if memory::no_place(&error) == Some(NoPlace::Elsewhere) {
        return Ok(Refusal::NotNow(error.to_string()));
    }
    let code = error.as_database_error().and_then(|error| error.code());
    if code.is_some_and(|code| code.starts_with("22") || code.starts_with("23")) {
        return Ok(Refusal::Poison(error.to_string()));
    }
    match error {
        sqlx::Error::Database(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            Ok(Refusal::NotNow(error.to_string()))
        }
        error => Err(error.into()),
    }
}

/// Of a batch of several, only that one of them has no place matters.
fn forgotten<E>(error: &sqlx::Error, batch: &[Delivery<E>]) -> String {
    match batch {
        [delivery] => delivery
            .event_id()
            .map(|event_id| memory::reason(event_id, Utc::now())),
        _ => None,
    }
    .unwrap_or_else(|| error.to_string())
}
