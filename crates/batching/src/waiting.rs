//! An item between its caller and its committer.
//!
//! It lies in a slot that both can reach, and whoever takes it out has it: so a caller
//! whose patience ends knows whether its turn had come.

use crate::{Error, Work, unknown};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Slot<I> = Arc<Mutex<Option<I>>>;
type Answer<W> = Result<<W as Work>::Answer, Error>;

/// What lies in the queue.
pub(crate) struct Waiting<W: Work> {
    item: Slot<W::Item>,
    answer: oneshot::Sender<Answer<W>>,
}

/// What the caller keeps.
pub(crate) struct Place<W: Work> {
    item: Slot<W::Item>,
    answer: oneshot::Receiver<Answer<W>>,
}

impl<W: Work> Waiting<W> {
    pub(crate) fn new(item: W::Item) -> (Self, Place<W>) {
        let item = Arc::new(Mutex::new(Some(item)));
        let (answer, answered) = oneshot::channel();
        let place = Place {
            item: item.clone(),
            answer: answered,
        };
        (Self { item, answer }, place)
    }

    /// The item and whom to answer, unless the caller took it back.
    pub(crate) fn begin(self) -> Option<(W::Item, oneshot::Sender<Answer<W>>)> {
        take(&self.item).map(|item| (item, self.answer))
    }
}

impl<W: Work> Place<W> {
    pub(crate) async fn answer(&mut self) -> Answer<W> {
        // The committer never drops a sender unanswered; if it panics, nobody knows.
        (&mut self.answer)
            .await
            .unwrap_or_else(|_| Err(unknown(sqlx::Error::WorkerCrashed)))
    }

    /// Whether the item was still waiting. It is now gone.
    pub(crate) fn take_back(&self) -> bool {
        take(&self.item).is_some()
    }
}

/// A caller that has left needs nothing any more.
impl<W: Work> Drop for Place<W> {
    fn drop(&mut self) {
        self.take_back();
    }
}

fn take<I>(slot: &Slot<I>) -> Option<I> {
    // Nothing can panic while it is held.
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}
