//! Refusing calls beyond what can be answered in time.
//!
//! Problem: a service that takes every call answers all of them late once more come
//! than it can serve, and does most of the work for callers who have left.
//! Guarantee: at most so many calls are inside at a time. The next one is told so at
//! once (`RESOURCE_EXHAUSTED` with `RetryInfo`), before anything is done for it, and
//! those inside keep their latency: the limit over the rate served.
//! Not guaranteed: fairness. Who asks again when a place is free gets it.

use crate::status;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// The door of a call. Clones share its places.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    limit: usize,
}

/// A place inside. Free again when it is dropped, whatever became of the call.
#[derive(Debug)]
#[must_use = "the call is inside while it holds this"]
pub struct Admitted {
    _place: OwnedSemaphorePermit,
}

impl Admission {
    /// A door with room for `limit` calls.
    pub fn new(limit: u16) -> Self {
        let limit = usize::from(limit);
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// Lets a call in, or refuses it. Never waits: a queue here would only add to the
    /// latency of those who get in.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED OVERLOADED` with `RetryInfo`: nothing was done.
    pub fn admit(&self) -> Result<Admitted, Status> {
        match self.places.clone().try_acquire_owned() {
            Ok(place) => Ok(Admitted { _place: place }),
            Err(_) => Err(status::overloaded(format!(
                "{} calls are being answered already",
                self.limit
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    #[test]
    fn one_call_too_many_is_told_to_come_again_and_gets_the_place_that_becomes_free() {
        let door = Admission::new(2);
        let first = door.admit().expect("there is room");
        let _second = door.admit().expect("there is room");
        let refused = door.clone().admit().expect_err("there is none");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let retry = refused.get_details_retry_info().and_then(|r| r.retry_delay);
        assert_eq!(retry, Some(Duration::from_secs(1)));
        drop(first);
        assert!(door.admit().is_ok());
    }
}
