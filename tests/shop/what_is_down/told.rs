//! What a caller is told.

use proto::reception::v1::{Order, OrderState};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a caller must be told.
pub enum Answer {
    /// OK, and the order is in one of these states.
    Order(&'static [OrderState]),
    /// An error.
    Refusal(Refusal),
}

/// An error, in all that programs act on.
pub struct Refusal {
    code: Code,
    reason: &'static str,
    /// Whether it says when to come again: then nothing was done, or doing it again is safe.
    retry: bool,
    /// What it says beside that.
    metadata: &'static [&'static str],
}

/// The order is acknowledged.
pub const fn orders(states: &'static [OrderState]) -> Answer {
    Answer::Order(states)
}

/// The call may be sent again.
pub const fn later(code: Code, reason: &'static str) -> Answer {
    Answer::Refusal(Refusal {
        code,
        reason,
        retry: true,
        metadata: &[],
    })
}

/// The card was declined.
pub const fn declined() -> Answer {
    Answer::Refusal(Refusal {
        code: Code::FailedPrecondition,
        reason: "PAYMENT_DECLINED",
        retry: false,
        metadata: &["decline_reason", "order_id"],
    })
}

/// Nobody knows, and nobody should order again blindly.
pub const fn in_doubt() -> Answer {
    Answer::Refusal(Refusal {
        code: Code::Unknown,
        reason: "OUTCOME_UNKNOWN",
        retry: false,
        metadata: &["order_id"],
    })
}

/// The order that an answer is about, if it says so.
pub fn order_id(answer: &Result<Order, Status>) -> Option<String> {
    match answer {
        Ok(order) => Some(order.order_id.clone()),
        Err(status) => status.get_details_error_info()?.metadata.remove("order_id"),
    }
}

impl Answer {
    /// Whether the same call may be sent again.
    pub fn says_when_to_retry(&self) -> bool {
        matches!(self, Self::Refusal(Refusal { retry: true, .. }))
    }

    /// Asserts that this is the answer.
    pub fn is(&self, what: &str, answer: &Result<Order, Status>) {
        match (self, answer) {
            (Self::Order(states), Ok(order)) => {
                assert!(states.contains(&order.state()), "{what}: {order:?}");
            }
            (Self::Refusal(refusal), Err(status)) => refusal.is(what, status),
            (_, answer) => panic!("{what}: {answer:?}"),
        }
    }
}

impl Refusal {
    fn is(&self, what: &str, status: &Status) {
        assert_eq!(status.code(), self.code, "{what}: {status:?}");
        let info = status.get_details_error_info();
        let info = info.unwrap_or_else(|| panic!("{what}: no ErrorInfo: {status:?}"));
        assert_eq!(info.reason, self.reason, "{what}: {status:?}");
        let retry = status.get_details_retry_info();
        let delay = retry.as_ref().and_then(|retry| retry.retry_delay);
        assert_eq!(retry.is_some(), self.retry, "{what}: {status:?}");
        assert_eq!(delay.is_some(), self.retry, "{what}: {status:?}");
        let mut said: Vec<&str> = info.metadata.keys().map(String::as_str).collect();
        said.sort_unstable();
        assert_eq!(said, self.metadata, "{what}: {status:?}");
    }
}
