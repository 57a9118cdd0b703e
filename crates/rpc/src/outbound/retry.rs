//! When to send again what failed: where it is safe, likely to help, and affordable.
//!
//! Retries are paid from a budget (gRFC A6): a failure takes a token, a success gives back a tenth,
//! and below half of them nothing is sent again. So a service that fails every call is asked hardly
//! more often than by callers without retries, instead of three times as often.

use crate::breaker::Backoff;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Longer than this nobody is kept waiting for another try: whoever calls can ask again later.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const TOKENS: f64 = 10.0;
const PER_SUCCESS: f64 = 0.1;

/// The tokens left for retries of one service.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<f64>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(TOKENS))
    }
}

impl Throttle {
    /// A call was answered well.
    pub(super) fn succeeded(&self) {
        let mut tokens = self.lock();
        *tokens = (*tokens + PER_SUCCESS).min(TOKENS);
    }

    /// A call failed that could be sent again: whether it may.
    fn failed(&self) -> bool {
        let mut tokens = self.lock();
        *tokens = (*tokens - 1.0).max(0.0);
        *tokens > TOKENS / 2.0
    }

    fn lock(&self) -> MutexGuard<'_, f64> {
        // A number cannot be half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The retries of one call.
pub(super) struct Retries<'a> {
    left: u32,
    made: u32,
    pauses: Backoff,
    throttle: &'a Throttle,
}

impl<'a> Retries<'a> {
    /// Those of a call that is sent at most `attempts` times.
    pub(super) fn new(attempts: u32, throttle: &'a Throttle) -> Self {
        Self {
            left: attempts.saturating_sub(1),
            made: 0,
            pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            throttle,
        }
    }

    /// The longest that all its pauses can take.
    pub(super) fn longest(attempts: u32) -> Duration {
        // What the service asks for, and as much again.
        attempts.saturating_sub(1) * 2 * LONGEST_PAUSE
    }

    /// How many there were.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// How long to wait before the next try; none if there is none.
    pub(super) fn pause(&mut self, status: &Status, left: Duration) -> Option<Duration> {
        let asked = asked_for(status)?;
        // Jitter on top: all who were told the same time would come together.
        let pause = asked + self.pauses.next()?;
        // Counted also where there is no other try: it says how the service does.
        let affordable = self.throttle.failed();
        if self.left == 0 || !affordable || asked > LONGEST_PAUSE || pause >= left {
            return None;
        }
        self.left -= 1;
        self.made += 1;
        Some(pause)
    }
}

/// Whether the call may be sent again, and after which time the service wants it at the earliest.
/// For calls with an idempotency key, after which any error could be met by a retry; but the others
/// are answers that stay as they are, bugs, or (`DEADLINE_EXCEEDED`) a service that would only
/// have to do the work twice while the caller's time is gone already.
fn asked_for(status: &Status) -> Option<Duration> {
    let info = status.get_details_retry_info();
    let asked = info.and_then(|info| info.retry_delay);
    match status.code() {
        // A connection that broke, a process that restarts: a moment later there is another one.
        Code::Unavailable => Some(asked.unwrap_or_default()),
        // By itself, "too much" is no reason to send more. RetryInfo says when it is welcome.
        Code::ResourceExhausted | Code::Aborted => asked,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;

    const MOMENT: Duration = Duration::from_millis(40);
    const LONG: Duration = Duration::from_secs(60);

    /// A row per code of gRPC.
    #[test]
    fn every_code_is_sent_again_as_the_table_says() {
        // Without RetryInfo, and with it.
        let table = [
            (Code::Cancelled, false, false),
            (Code::Unknown, false, false),
            (Code::InvalidArgument, false, false),
            (Code::DeadlineExceeded, false, false),
            (Code::NotFound, false, false),
            (Code::AlreadyExists, false, false),
            (Code::PermissionDenied, false, false),
            (Code::ResourceExhausted, false, true),
            (Code::FailedPrecondition, false, false),
            (Code::Aborted, false, true),
            (Code::OutOfRange, false, false),
            (Code::Unimplemented, false, false),
            (Code::Internal, false, false),
            (Code::Unavailable, true, true),
            (Code::DataLoss, false, false),
            (Code::Unauthenticated, false, false),
        ];
        for (number, (code, bare, told)) in (1_i32..).zip(table) {
            assert_eq!(code, Code::from_i32(number), "the table has a row per code");
            let throttle = Throttle::default();
            let again = |status| Retries::new(2, &throttle).pause(&status, LONG).is_some();
            assert_eq!(again(Status::new(code, "")), bare, "{code:?}");
            assert_eq!(again(after(code, MOMENT)), told, "{code:?} with RetryInfo");
        }
    }

    #[test]
    fn a_retry_is_never_earlier_than_asked_for_and_not_awaited_for_long() {
        for _ in 0..100 {
            let throttle = Throttle::default();
            let pause = |asked| {
                let status = after(Code::Unavailable, asked);
                Retries::new(2, &throttle).pause(&status, LONG)
            };
            assert!(pause(MOMENT).is_some_and(|pause| pause > MOMENT));
            assert_eq!(pause(LONGEST_PAUSE + MOMENT), None);
        }
    }

    #[test]
    fn a_retry_that_would_come_after_the_deadline_is_not_made() {
        let throttle = Throttle::default();
        let status = after(Code::Unavailable, MOMENT);
        assert_eq!(Retries::new(2, &throttle).pause(&status, MOMENT), None);
    }

    #[test]
    fn a_service_that_fails_always_is_soon_not_retried_until_it_is_well() {
        let throttle = Throttle::default();
        let failed = Status::unavailable("");
        let again = || Retries::new(2, &throttle).pause(&failed, LONG).is_some();
        let retries = (0..100).filter(|_| again()).count();
        assert_eq!(retries, 4, "of a hundred calls");
        // After a long outage, half of the tokens must be earned again.
        (0..50).for_each(|_| throttle.succeeded());
        assert!(!again());
        (0..30).for_each(|_| throttle.succeeded());
        assert!(again());
    }

    fn after(code: Code, delay: Duration) -> Status {
        let details = tonic_types::ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(code, status::name(code), details)
    }
}
