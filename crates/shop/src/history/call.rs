//! One call and what became of it.

use std::time::Duration;

use proto::reception::v1::Order;
use rpc::client::was_not_begun;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use uuid::Uuid;

/// A call of `PlaceOrder`. A customer who asks again makes another one, with the same `request_id`.
/// Times are in microseconds since the history began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What makes it safe to repeat.
    pub request_id: String,
    /// When the customer was to come: what they wait counts from here, also if the generator was
    /// late or this is their fifth try.
    pub came_us: u64,
    /// When this call was sent.
    pub asked_us: u64,
    /// None: nobody was there any more to hear the answer.
    pub answer: Option<Answer>,
}

/// What a call was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When.
    pub answered_us: u64,
    /// What the caller knows by it.
    pub outcome: Outcome,
    /// The gRPC code: `UNAVAILABLE`; empty if it is OK.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The order that was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
}

/// What a caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done: the order is acknowledged.
    Ok,
    /// It is not done, and will not be.
    Fail,
    /// It may be done, or be done later.
    Unknown,
}

impl Call {
    /// What the caller knows. Without an answer that is nothing.
    pub fn outcome(&self) -> Outcome {
        let answer = self.answer.as_ref();
        answer.map_or(Outcome::Unknown, |answer| answer.outcome)
    }

    /// Whether its customer has nothing more to ask.
    pub fn settles_it(&self) -> bool {
        let Some(answer) = &self.answer else {
            return false;
        };
        let come_again = matches!(answer.code.as_str(), "UNAVAILABLE" | "RESOURCE_EXHAUSTED");
        answer.outcome != Outcome::Unknown && !come_again
    }

    /// From when the customer was to come until this answer.
    pub fn waited(&self) -> Option<Duration> {
        let answered = self.answer.as_ref()?.answered_us;
        Some(Duration::from_micros(answered.saturating_sub(self.came_us)))
    }

    /// How long this call took by itself.
    pub fn took(&self) -> Option<Duration> {
        let answered = self.answer.as_ref()?.answered_us;
        Some(Duration::from_micros(
            answered.saturating_sub(self.asked_us),
        ))
    }
}

impl Outcome {
    /// What this answer says.
    pub fn of(answer: &Result<Order, Status>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(status) if refuses(status.code()) || was_not_begun(status) => Self::Fail,
            Err(_) => Self::Unknown,
        }
    }
}

/// Codes with which reception says that it did nothing. `UNAVAILABLE` is none of them: a
/// connection that breaks after the COMMIT looks the same.
fn refuses(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::NotFound
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
    )
}
