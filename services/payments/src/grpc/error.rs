//! Errors of the use cases, to statuses. Reasons and metadata are listed in the contract.

use super::{not_found, store_unavailable};
use crate::{behavior::Fault, cancel, charge, refund};
use rpc::status::{self, Reason};
use tonic::{Code, Status};

impl From<charge::Error> for Status {
    fn from(error: charge::Error) -> Self {
        let message = error.to_string();
        match error {
            // ALREADY_EXISTS: the key has a decision, and this is not the charge it is for.
            charge::Error::KeyReused => key_reused(message),
            // FAILED_PRECONDITION: nothing was charged, and never will be with this key.
            charge::Error::Cancelled(key) => {
                let metadata = [("idempotency_key", key.as_str())];
                refused(Reason::PaymentCancelled, message, &metadata)
            }
            charge::Error::Told(fault) => injected(fault),
            // UNAVAILABLE with RetryInfo: decided or not, asking again is safe with the key.
            // RESOURCE_EXHAUSTED: nothing was decided.
            charge::Error::Ledger(batching::Error::Busy) => status::overloaded(message),
            charge::Error::Ledger(
                batching::Error::NotCommitted(cause) | batching::Error::Unknown(cause),
            ) => status::from_sqlx(cause.as_ref()),
        }
    }
}

impl From<cancel::Error> for Status {
    fn from(error: cancel::Error) -> Self {
        match error {
            cancel::Error::Told(fault) => injected(fault),
            // UNAVAILABLE with RetryInfo: closed or not, asking again is safe with the key.
            cancel::Error::Ledger(cause) => store_unavailable(cause),
        }
    }
}

impl From<refund::Error> for Status {
    fn from(error: refund::Error) -> Self {
        let message = error.to_string();
        match error {
            // NOT_FOUND: there is no such payment.
            refund::Error::NotFound(id) => not_found(&id),
            // ALREADY_EXISTS: the key stands for something else.
            refund::Error::KeyReused => key_reused(message),
            // FAILED_PRECONDITION: there is no money to give back, and never will be.
            refund::Error::NotCharged(payment) => {
                let id = payment.payment_id.to_string();
                refused(Reason::PaymentNotCharged, message, &[("payment_id", &id)])
            }
            // FAILED_PRECONDITION: who wants the money back has it.
            refund::Error::AlreadyRefunded(payment) => {
                let (id, key) = (payment.payment_id.to_string(), &payment.idempotency_key);
                let metadata = [("payment_id", id.as_str()), ("idempotency_key", key)];
                refused(Reason::PaymentAlreadyRefunded, message, &metadata)
            }
            // FAILED_PRECONDITION: with the amount that would be right.
            refund::Error::AmountMismatch { payment_id, charge } => {
                let (id, amount) = (payment_id.to_string(), charge.amount);
                let amount_minor = amount.amount_minor.to_string();
                let metadata = [
                    ("payment_id", id.as_str()),
                    ("amount_minor", &amount_minor),
                    ("currency_code", &amount.currency_code),
                ];
                refused(Reason::RefundAmountMismatch, message, &metadata)
            }
            refund::Error::Told(fault) => injected(fault),
            // UNAVAILABLE with RetryInfo: given back or not, asking again is safe with the key.
            refund::Error::Ledger(cause) => store_unavailable(cause),
        }
    }
}

/// Without `RetryInfo`: a caller whose reply was lost is promised nothing.
fn injected(fault: Fault) -> Status {
    let code = match fault {
        Fault::Fail(code) => code,
        Fault::LoseReply => Code::Unavailable,
    };
    status::error(code, Reason::InjectedFault, fault.to_string(), &[])
}

fn key_reused(message: String) -> Status {
    status::error(
        Code::AlreadyExists,
        Reason::IdempotencyKeyReused,
        message,
        &[],
    )
}

fn refused(reason: Reason, message: String, metadata: &[(&str, &str)]) -> Status {
    status::error(Code::FailedPrecondition, reason, message, metadata)
}
