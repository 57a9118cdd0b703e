//! Whether a call that failed was ever sent.
//!
//! Problem: a server that stops in good order tells its clients to go, and a call that was about
//! to be sent at that moment fails. gRPC expects a client's library to send it again by itself
//! (gRFC A6, "transparent retry"); tonic reports it as `CANCELLED` or `INTERNAL`, like a call of
//! which nobody knows what it did.
//! Guarantee: no server has handled a call of which this says that it was not sent, if its request
//! is one message: of a stream the headers may be out before the first message is.
//! Not guaranteed: the reverse. What was written to a connection that broke may be done or not.

use std::{error::Error, iter};
use tonic::ConnectError;

/// Whether a cause of the failure proves that no server has handled the call.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |error| Error::source(*error)).any(is_proof)
}

fn is_proof(error: &(dyn Error + 'static)) -> bool {
    // There was no connection.
    error.is::<ConnectError>()
        // hyper says this only of requests that it hands back as they were: the connection was
        // told to go, or broke, before it was their turn.
        || error.downcast_ref().is_some_and(hyper::Error::is_canceled)
        || error.downcast_ref().is_some_and(is_refused)
}

/// RFC 9113, 8.7: a server handles nothing of a stream that it refuses, nor of one beyond the last
/// that it names when it goes away. h2 gives that error to those, and to requests that still wait.
fn is_refused(error: &h2::Error) -> bool {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || refused)
}
