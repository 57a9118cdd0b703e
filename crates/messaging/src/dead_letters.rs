//! Messages that cannot be handled, kept whole, and what becomes of them.
//!
//! They are rows in the consumer's database, written in the transaction that
//! records the inbox row. A dead-letter topic could not be: a crash between its
//! write and ours would park a message twice, or not at all.
//!
//! Somebody looks at them (`DeadLetters::list`), and once the cause is mended the same
//! handler handles them (`DeadLetters::replay`): its effect and the end of the row are
//! one transaction, under the row's lock, so however often and by whomever it is
//! replayed, it takes effect once. Or it is given up (`DeadLetters::give_up`), and the
//! service says what that means (`GiveUp`).
//! Not guaranteed: that what follows it waits. Events of an order that came later have
//! been handled; revisions decide, as ever.

/// A row, and the message in it.
mod letter;
/// Writing a message down.
mod park;
/// Handling it once more.
mod replay;
/// The SQL.
mod store;

pub use letter::DeadLetter;
pub(crate) use park::park;
pub use replay::Replayed;

use crate::{
    event::Malformed,
    inbox::{self, Handler, Message},
};
use lifecycle::postgres::{acquire, begin, bounded};
use sqlx::{PgConnection, PgPool};
use std::future::Future;
use uuid::Uuid;

/// What a service does when a message is given up.
pub trait GiveUp: Handler {
    /// A message of the topic that it consumes will never be handled. In the transaction
    /// that removes it: says so to whoever waits for its effect.
    fn dropped(
        &self,
        conn: &mut PgConnection,
        message: &Message,
        reason: &str,
    ) -> impl Future<Output = sqlx::Result<Consequence>> + Send;

    /// An event of its own, which Kafka refuses, will never be published.
    fn unpublished(
        &self,
        conn: &mut PgConnection,
        event: &Message,
        reason: &str,
    ) -> impl Future<Output = sqlx::Result<Consequence>> + Send;
}

/// What it means for an order that a message about it is given up. The words are for the
/// operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It ends FAILED.
    OrderFails(String),
    /// Nothing.
    Unaffected(String),
    /// It may wait for what the message would have said.
    MayWait(String),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Replayed or given up by now, or never there.
    #[error("there is no dead letter {0}")]
    NotFound(i64),
    /// The database did not answer, or refused.
    #[error("dead letters: {0}")]
    Database(#[from] sqlx::Error),
    /// The handler could not be asked, or broke its contract.
    #[error(transparent)]
    Handling(#[from] inbox::Error),
}

/// The dead letters of one consumer, and those of its service's relay.
pub struct DeadLetters<H> {
    pool: PgPool,
    consumer: &'static str,
    handler: H,
}

impl<H: GiveUp> DeadLetters<H> {
    /// Those of the inbox with the same name, and handled by the same handler.
    pub fn new(pool: PgPool, consumer: &'static str, handler: H) -> Self {
        Self {
            pool,
            consumer,
            handler,
        }
    }

    /// Lists at most `limit` of them after the given id, oldest first, without their
    /// payloads.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn list(
        &self,
        order_id: Option<Uuid>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<DeadLetter>, Error> {
        let listing = async {
            let mut conn = acquire(&self.pool).await?;
            store::list(&mut conn, self.consumer, order_id, after, limit).await
        };
        Ok(bounded(listing).await?)
    }

    /// One of them, whole.
    ///
    /// # Errors
    /// It is not there, or what the database answers.
    pub async fn get(&self, id: i64) -> Result<DeadLetter, Error> {
        let getting = async {
            let mut conn = acquire(&self.pool).await?;
            store::get(&mut conn, self.consumer, id).await
        };
        bounded(getting).await?.ok_or(Error::NotFound(id))
    }

    /// Handles it once more. Unless it still cannot be handled, it is gone afterwards.
    ///
    /// # Errors
    /// It is not there, or what the database answers.
    pub async fn replay(&self, id: i64) -> Result<Replayed, Error> {
        let mut tx = begin(&self.pool).await?;
        // Two at once: the second waits for this lock, and then finds no row.
        let letter = bounded(store::lock(&mut tx, self.consumer, id)).await?;
        let letter = letter.ok_or(Error::NotFound(id))?;
        let replayed = replay::replay(&mut tx, self.consumer, &self.handler, &letter).await?;
        match &replayed {
            Replayed::Handled | Replayed::Absorbed | Replayed::Requeued => {
                bounded(store::delete(&mut tx, id)).await?;
            }
            Replayed::StillDead(reason) => bounded(store::explain(&mut tx, id, reason)).await?,
            Replayed::NotNow(_) => {}
        }
        // Crash here: it had no effect, and is still there.
        bounded(tx.commit()).await?;
        // Crash here: it had its effect, and is gone. Whoever polls finds what it wrote.
        self.handler.committed();
        letter.in_its_trace(|order_id| {
            tracing::info!(
                dead_letter.id = id,
                coffeeshop.order.id = order_id,
                ?replayed,
                "dead letter replayed"
            );
        });
        Ok(replayed)
    }

    /// Removes it, and lets the service say what that means.
    ///
    /// # Errors
    /// It is not there, or what the database answers.
    pub async fn give_up(&self, id: i64, reason: &str) -> Result<Consequence, Error> {
        let mut tx = begin(&self.pool).await?;
        let letter = bounded(store::lock(&mut tx, self.consumer, id)).await?;
        let letter = letter.ok_or(Error::NotFound(id))?;
        let consequence = match letter.message() {
            Err(malformed) => nobody_told(&letter, &malformed),
            Ok(event) if letter.is_unpublished() => {
                bounded(self.handler.unpublished(&mut tx, &event, reason)).await?
            }
            Ok(message) => bounded(self.handler.dropped(&mut tx, &message, reason)).await?,
        };
        bounded(store::delete(&mut tx, id)).await?;
        // Crash here: nothing was given up.
        bounded(tx.commit()).await?;
        self.handler.committed();
        letter.in_its_trace(|order_id| {
            tracing::warn!(
                dead_letter.id = id,
                coffeeshop.order.id = order_id,
                reason,
                ?consequence,
                "dead letter dropped"
            );
        });
        Ok(consequence)
    }
}

/// Who cannot read a message cannot tell anybody that it is gone.
fn nobody_told(letter: &DeadLetter, malformed: &Malformed) -> Consequence {
    let detail = match letter.order_id() {
        Some(order_id) => format!(
            "The message could not be read ({malformed}), so nobody was told. Its key says that it \
             was about order {order_id}, which may wait for it: look at that order."
        ),
        None => format!(
            "The message could not be read ({malformed}), and names no order. If an order waits \
             for it, only that order can tell."
        ),
    };
    Consequence::MayWait(detail)
}
