//! What becomes of one call.

use std::time::Duration;
use tokio::time;
use tonic::Code;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How long it waits before anything else.
    pub latency: Duration,
    /// What happens then.
    pub outcome: Outcome,
}

/// What happens to a call after its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is handled well.
    Ok,
    /// It is declined if its key is still free.
    Decline,
    /// It is answered with this code before it is handled.
    Fail(Code),
    /// It is handled, and its reply is lost.
    LoseReply,
}

/// Why a call was not answered as it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A rule made it fail; nothing was decided.
    #[error("told to fail with {0:?}")]
    Fail(Code),
    /// A rule lost the reply, whatever it was.
    #[error("told to lose the reply")]
    LoseReply,
}

impl Fate {
    /// Handles a call as well as its fate lets it.
    ///
    /// # Errors
    /// The handler's own, or the [`Fault`] that befell the call.
    pub async fn befall<T, E: From<Fault>>(
        self,
        handling: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if !self.latency.is_zero() {
            time::sleep(self.latency).await;
        }
        if let Outcome::Fail(code) = self.outcome {
            return Err(Fault::Fail(code).into());
        }
        let answer = handling.await;
        if self.outcome == Outcome::LoseReply {
            return Err(Fault::LoseReply.into());
        }
        answer
    }
}
