//! Handling a dead letter once more.

use super::{DeadLetter, store};
use crate::spans::Processing;
use crate::{
    event::Malformed,
    inbox::{self, Error, Handler, Message, Outcome, Recorded, Refusal, Skipped},
};
use lifecycle::postgres::bounded;
use sqlx::{Connection as _, PgConnection};
use telemetry::semconv::outcome;

/// What became of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The message had its effect.
    Handled,
    /// It needed none.
    Absorbed,
    /// The event is in the outbox again.
    Requeued,
    /// It cannot be handled today either, for this reason. It stays.
    StillDead(String),
    /// Its handler asks for a later try, for this reason. Nothing changed.
    NotNow(String),
}

/// Replays a locked letter. The caller removes it, in the same transaction.
pub(super) async fn replay<H: Handler>(
    conn: &mut PgConnection,
    consumer: &str,
    handler: &H,
    letter: &DeadLetter,
) -> Result<Replayed, Error> {
    let mut message = match letter.message() {
        Ok(message) => message,
        Err(malformed) => return Ok(still_dead(&malformed)),
    };
    if letter.is_unpublished() {
        bounded(store::requeue(conn, letter, &message)).await?;
        return Ok(Replayed::Requeued);
    }
    let processing = Processing::again(&mut message, consumer);
    // A savepoint: what a failed try wrote is undone, and the letter stays locked.
    let mut attempt = bounded(conn.begin()).await?;
    let replayed = match handle(&mut attempt, consumer, handler, letter, &message).await {
        Err(Error::Database(error)) => refused(error)?,
        replayed => replayed?,
    };
    match replayed {
        Replayed::StillDead(_) | Replayed::NotNow(_) => bounded(attempt.rollback()).await?,
        _ => bounded(attempt.commit()).await?,
    }
    if let Some(processing) = processing {
        processing.ends(word(&replayed));
    }
    Ok(replayed)
}

fn word(replayed: &Replayed) -> &'static str {
    match replayed {
        Replayed::Handled | Replayed::Requeued => outcome::DONE,
        Replayed::Absorbed => outcome::ABSORBED,
        Replayed::StillDead(_) => outcome::DEAD_LETTER,
        Replayed::NotNow(_) => outcome::HELD_BACK,
    }
}

fn still_dead(malformed: &Malformed) -> Replayed {
    Replayed::StillDead(malformed.to_string())
}

async fn handle<H: Handler>(
    conn: &mut PgConnection,
    consumer: &str,
    handler: &H,
    letter: &DeadLetter,
    message: &Message,
) -> Result<Replayed, Error> {
    let event = match handler.decode(message) {
        Ok(event) => event,
        Err(Skipped::NotOurs) => return Ok(Replayed::Absorbed),
        Err(Skipped::DeadLetter(reason)) => return Ok(Replayed::StillDead(reason)),
    };
    // Parked unread, or without a place in the inbox: a twin of it may have been handled
    // since. An id that was recorded is there already, which is why no topic can be
    // replayed past it.
    if letter.event_id.is_none()
        && bounded(inbox::record(conn, consumer, message.event_id)).await? == Recorded::Known
    {
        return Ok(Replayed::Absorbed);
    }
    let mut outcomes = bounded(handler.handle(conn, &[&event])).await?;
    match (outcomes.pop(), outcomes.len()) {
        (Some(Outcome::Done), 0) => Ok(Replayed::Handled),
        (Some(Outcome::Absorbed(_)), 0) => Ok(Replayed::Absorbed),
        (Some(Outcome::Retry(reason)), 0) => Ok(Replayed::NotNow(reason)),
        (Some(Outcome::DeadLetter(reason)), 0) => Ok(Replayed::StillDead(reason)),
        (last, others) => Err(Error::HandlerContract {
            given: 1,
            returned: others + usize::from(last.is_some()),
        }),
    }
}

/// What an error of a statement means for the letter: as for a batch of the inbox.
fn refused(error: sqlx::Error) -> Result<Replayed, Error> {
    Ok(match inbox::refusal(error)? {
        Refusal::Poison(reason) => Replayed::StillDead(reason),
        Refusal::NotNow(reason) => Replayed::NotNow(reason),
    })
}
