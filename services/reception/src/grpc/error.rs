//! Errors to statuses.

use super::RETRY_AFTER;
use crate::place_order;
use rpc::status::{self, Reason};
use tonic::{Code, Status};

/// What became of a call of PlaceOrder that placed nothing, or not surely:
/// - `ALREADY_EXISTS`: the request id belongs to another body.
/// - `FAILED_PRECONDITION`: the payment was declined.
/// - `RESOURCE_EXHAUSTED`: too many calls wait already; nothing was stored.
/// - `UNAVAILABLE`: nothing was stored; or, with a request id, perhaps it was. Either
///   way the same call may be sent again.
/// - `UNKNOWN`: perhaps it was stored, and there is no request id: sent again, it could
///   order twice.
pub(super) fn place_order(error: &place_order::Error, repeatable: bool) -> Status {
    use place_order::Error;
    let message = error.to_string();
    match error {
        Error::RequestIdReused => {
            status::error(Code::AlreadyExists, Reason::RequestIdReused, message, &[])
        }
        Error::Declined { order_id, reason } => {
            let order_id = order_id.to_string();
            let metadata = [
                ("order_id", order_id.as_str()),
                ("decline_reason", reason.as_str()),
            ];
            status::error(
                Code::FailedPrecondition,
                Reason::PaymentDeclined,
                message,
                &metadata,
            )
        }
        Error::Busy => status::overloaded(message),
        Error::NotStored(error) => status::from_sqlx(error.as_ref()),
        Error::OutcomeUnknown { .. } if repeatable => {
            status::unavailable(Reason::StoreUnavailable, message, RETRY_AFTER)
        }
        Error::OutcomeUnknown { order_id } => {
            let order_id = order_id.to_string();
            let metadata = [("order_id", order_id.as_str())];
            status::error(Code::Unknown, Reason::OutcomeUnknown, message, &metadata)
        }
    }
}

/// What a batch that was not committed means to a call that stores nothing.
pub(super) fn not_committed(error: &batching::Error) -> Status {
    match error {
        batching::Error::Busy => status::overloaded(error.to_string()),
        batching::Error::NotCommitted(cause) | batching::Error::Unknown(cause) => {
            status::from_sqlx(cause.as_ref())
        }
    }
}

/// There is no such order.
pub(super) fn not_found(order_id: &str) -> Status {
    status::not_found(
        Reason::OrderNotFound,
        "coffeeshop.reception.v1.Order",
        order_id,
    )
}

/// The database did not answer a read, or not well.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn store(error: sqlx::Error) -> Status {
    status::from_sqlx(&error)
}

/// A request that was refused without a violation: a bug of ours.
pub(super) fn unexplained() -> Status {
    status::error(
        Code::Internal,
        Reason::Internal,
        "the request was refused, we cannot say why",
        &[],
    )
}
