//! Errors of `CancelOrder` and `CollectOrder`.

use super::{
    RETRY_AFTER,
    error::{not_committed, not_found},
};
use crate::wish::Error;
use rpc::status::{self, Reason};
use tonic::{Code, Status};

/// What became of a wish that was not granted:
/// - `NOT_FOUND`: there is no such order.
/// - `FAILED_PRECONDITION`: the order stands where it cannot be granted, for good or not
///   yet; the reason is the call's.
/// - `RESOURCE_EXHAUSTED`: too many calls wait already; nothing was done.
/// - `UNAVAILABLE`: nothing was done, or perhaps it was. Either way the same call may be
///   sent again: what was recorded absorbs it.
pub(super) fn error(error: &Error, refused: Reason) -> Status {
    match error {
        Error::Unknown(order_id) => not_found(&order_id.to_string()),
        Error::Refused(illegal) => {
            let state = illegal.state.as_str();
            let order_id = illegal.order_id.to_string();
            let message = format!("order {order_id} is {state}");
            let metadata = [("order_id", order_id.as_str()), ("state", state)];
            status::error(Code::FailedPrecondition, refused, message, &metadata)
        }
        Error::NotRead(error) => status::from_sqlx(error),
        Error::NotRecorded(unknown @ batching::Error::Unknown(_)) => {
            status::unavailable(Reason::StoreUnavailable, unknown.to_string(), RETRY_AFTER)
        }
        Error::NotRecorded(error) => not_committed(error),
    }
}
