//! Turns to read, for those who watch.
//!
//! Problem: a change, or a restart, has all watchers read at once, and whoever else calls needs
//! connections, too.
//! Guarantee: so many read at a time. Whoever opens a stream gets its turn within `PATIENCE`, or is
//! told to come again. On an open stream heartbeats go on meanwhile. Nobody has a turn, nor a place
//! in the queue for one, while nobody asks for the rest of its stream: a watcher who does not read
//! keeps no other from reading.
//! Not guaranteed: that a turn is over soon. What is read has bounds of its own.

use crate::status::{self, Reason};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
    time::{self, Instant},
};
use tonic::Status;

/// What callers without a deadline are granted elsewhere. A thousand and more get their turn within
/// it when all come back after a restart; while the database is away, the last of thousands would
/// wait for half an hour.
const PATIENCE: Duration = Duration::from_secs(5);
/// When to come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Clones share the turns.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

/// Kept while it is read, and over when it is dropped.
#[derive(Debug)]
#[must_use = "it is over when it is dropped"]
pub struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Default for Turns {
    /// Of the connections of a pool, 8 unless configured otherwise, most are for others.
    fn default() -> Self {
        Self::new(2)
    }
}

impl Turns {
    fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_a_time)))
    }

    /// The turn of somebody whose stream is not open yet.
    ///
    /// # Errors
    /// `UNAVAILABLE STORE_UNAVAILABLE` with `RetryInfo`: there was none in time.
    pub async fn first(&self) -> Result<Turn, Status> {
        let turn = self.by(Instant::now() + PATIENCE).await;
        turn.ok_or_else(|| {
            let message = "too many wait to read the database";
            status::unavailable(Reason::StoreUnavailable, message, RETRY_AFTER)
        })
    }

    /// The turn of somebody whose stream is open. None, if there was none by then: the stream has to
    /// say something before it asks again.
    pub async fn by(&self, then: Instant) -> Option<Turn> {
        // tonic asks a stream for the next message before it hands out the one before, and hyper,
        // with that one in hand, asks for nothing until the watcher has room for it. What was begun
        // in between lies still for as long, with all that it holds: a turn, or one that it is given
        // in the queue, and a connection. This lets the message out first.
        task::yield_now().await;
        let place = time::timeout_at(then, self.0.clone().acquire_owned()).await;
        // Nobody closes it.
        let place = place.ok()?.ok()?;
        Some(Turn { _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use tonic_types::StatusExt as _;

    #[tokio::test(start_paused = true)]
    async fn who_opens_a_stream_and_gets_no_turn_is_told_to_come_again() {
        let turns = Turns::new(1);
        let turn = turns.first().await.expect("it is free");
        let begun = Instant::now();
        let refused = turns.first().await.expect_err("it is taken");
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        let retry = refused.get_details_retry_info().and_then(|r| r.retry_delay);
        assert_eq!(retry, Some(RETRY_AFTER));
        drop(turn);
        drop(turns.first().await.expect("it is free again"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_stream_waits_for_its_turn_until_it_has_to_say_something() {
        let turns = Turns::new(1);
        let turn = turns.first().await;
        let quiet = Instant::now() + Duration::from_secs(15);
        assert!(turns.by(quiet).await.is_none(), "it is taken");
        assert_eq!(Instant::now(), quiet);
        drop(turn);
        // Late, and yet in time.
        assert!(turns.by(quiet).await.is_some());
    }

    #[tokio::test]
    async fn what_is_asked_once_and_left_there_holds_no_turn() {
        let turns = Turns::new(1);
        let mut left = Box::pin(turns.first());
        assert!((&mut left).now_or_never().is_none(), "it lets go first");
        assert_eq!(turns.0.available_permits(), 1);
    }
}
