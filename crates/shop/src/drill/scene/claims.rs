//! What is claimed of calls: judged at once, and again when the last customer was served.
//!
//! A call that is still under way when a drill looks at it has no answer that could be wrong.

use std::sync::{Mutex, PoisonError};

use super::{Calls, Scene};
use crate::drill::notes::Claim;

/// Claims that are to be judged again.
#[derive(Debug, Default)]
pub(super) struct OfCalls(Mutex<Vec<OfCall>>);

#[derive(Clone, Copy, Debug)]
struct OfCall {
    /// Its place among all claims.
    at: usize,
    from_us: u64,
    until_us: u64,
    holds: fn(&Calls) -> bool,
}

impl Scene {
    /// Says what has to hold of these calls. Of none that was answered, nothing holds.
    pub(crate) fn claim_of(&self, calls: &Calls, claim: &str, holds: fn(&Calls) -> bool) {
        let at = self.notes.claims(Claim {
            claim: claim.to_owned(),
            holds: stands(calls, holds),
            seen: calls.to_string(),
        });
        let again = self.of_calls.0.lock();
        again.unwrap_or_else(PoisonError::into_inner).push(OfCall {
            at,
            from_us: calls.from_us,
            until_us: calls.until_us,
            holds,
        });
    }

    /// Judges them again, now that every call has its answer.
    pub(super) fn judges_again(&self) {
        let again = self.of_calls.0.lock();
        let again = again.unwrap_or_else(PoisonError::into_inner).clone();
        for claim in again {
            let (from_us, until_us) = (claim.from_us, claim.until_us);
            let calls = Calls::of(self.history.calls(), from_us, until_us, self.now_us());
            let holds = stands(&calls, claim.holds);
            self.notes.judges(claim.at, holds, &calls);
        }
    }
}

fn stands(calls: &Calls, holds: fn(&Calls) -> bool) -> bool {
    calls.answered() > 0 && holds(calls)
}
