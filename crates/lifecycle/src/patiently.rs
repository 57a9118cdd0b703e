//! Finishing what is in hand after the stop, for a while.

use crate::Stop;
use std::{future::Future, time::Duration};
use tokio::time;

/// Runs `work` to its end, even when told to stop meanwhile: then it gets `patience` from the
/// stop on. None means that it was dropped, which is as a crash at that point.
pub async fn patiently<T>(
    stop: &Stop,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let over = async {
        stop.cancelled().await;
        time::sleep(patience).await;
    };
    tokio::select! {
        // Work that is done when patience ends is done.
        biased;
        done = work => Some(done),
        () = over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future;

    const PATIENCE: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn work_in_hand_is_finished_after_the_stop() {
        let stop = Stop::new();
        let work = async {
            stop.cancel();
            time::sleep(PATIENCE / 2).await;
            "done"
        };
        assert_eq!(patiently(&stop, PATIENCE, work).await, Some("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_too_long_after_the_stop_is_dropped() {
        let stop = Stop::new();
        stop.cancel();
        let begun = time::Instant::now();
        let work = future::pending::<()>();
        assert_eq!(patiently(&stop, PATIENCE, work).await, None);
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_begins_with_the_stop() {
        let stop = Stop::new();
        let work = async {
            time::sleep(10 * PATIENCE).await;
            stop.cancel();
            time::sleep(PATIENCE / 2).await;
        };
        assert_eq!(patiently(&stop, PATIENCE, work).await, Some(()));
    }
}
