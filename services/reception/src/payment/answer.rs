//! What the provider's answers mean for an order.
//!
//! Most are decisions, some refusals too. What is none is one of two things: the provider
//! could not be asked or could not tell us, and asking again will help; or what it says makes
//! no sense to us, and somebody has to look. Neither settles anything: it stays owed.

use crate::order::Event;
use proto::payments::v1::{Payment, PaymentState, Refund};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// Why there is no decision. Something may have been decided all the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider was not reached, not in time, or could not do its work.
    #[error("the provider has not decided: {:?}: {}", .0.code(), .0.message())]
    Undecided(Status),
    /// Asking again will hardly change it.
    #[error("the provider's answer makes no sense: {0}")]
    Senseless(String),
}

impl From<Status> for Error {
    /// No code is a decision by itself. Those that speak of the request would be answers, had
    /// we asked for something that can be refused.
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => {
                let (code, message) = (status.code(), status.message());
                Self::Senseless(format!("{code:?} {}: {message}", reason(&status)))
            }
            _ => Self::Undecided(status),
        }
    }
}

/// What a charge came to.
pub(super) fn charge(answer: Result<Payment, Status>) -> Result<Event, Error> {
    match answer {
        Ok(payment) => decision(&payment),
        // The key was closed before this charge came to it.
        Err(status) if reason(&status) == "PAYMENT_CANCELLED" => Ok(Event::PaymentCancelled),
        Err(status) => Err(status.into()),
    }
}

/// What closing a key came to.
pub(super) fn cancel(answer: Result<Payment, Status>) -> Result<Event, Error> {
    match decision(&answer?)? {
        // Taken as an answer, it would be absorbed, and nobody would hear of money that is
        // not given back.
        Event::Charged { payment_id } => {
            let what = format!("payment {payment_id} is still charged after its key was closed");
            Err(Error::Senseless(what))
        }
        decision => Ok(decision),
    }
}

/// What giving a payment's money back came to.
pub(super) fn refund(payment_id: Uuid, answer: Result<Refund, Status>) -> Result<Event, Error> {
    match answer {
        Ok(refund) if refund.payment_id == payment_id.to_string() => {
            Ok(Event::Refunded { payment_id })
        }
        Ok(refund) => {
            let other = refund.payment_id;
            Err(Error::Senseless(format!("payment {other:?} was refunded")))
        }
        // By hand, say: whoever wants it back has it.
        Err(status) if reason(&status) == "PAYMENT_ALREADY_REFUNDED" => {
            Ok(Event::Refunded { payment_id })
        }
        Err(status) => Err(status.into()),
    }
}

/// What the provider decided for a key, however it was asked.
fn decision(payment: &Payment) -> Result<Event, Error> {
    match payment.state() {
        PaymentState::Charged => Ok(Event::Charged {
            payment_id: id(payment)?,
        }),
        PaymentState::Refunded => Ok(Event::Refunded {
            payment_id: id(payment)?,
        }),
        PaymentState::Declined => Ok(Event::Declined {
            reason: payment.decline_reason.clone(),
        }),
        PaymentState::Cancelled => Ok(Event::PaymentCancelled),
        PaymentState::Unspecified => {
            Err(Error::Senseless("a payment in no state we know".to_owned()))
        }
    }
}

fn id(payment: &Payment) -> Result<Uuid, Error> {
    let id = payment.payment_id.parse();
    id.map_err(|_| Error::Senseless(format!("payment_id {:?} is no UUID", payment.payment_id)))
}

/// The reason of an error, for programs; empty if it has none.
fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

#[cfg(test)]
mod tests;
