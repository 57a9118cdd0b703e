//! Errors that tonic makes itself, in the form of ours.
//!
//! They reach a layer as a finished response without a body: the status is in its
//! headers. Those that a handler made have details already and pass as they are, and so
//! do those in the trailers of a stream.

use crate::{
    server::MAX_REQUEST_BYTES,
    status::{self, Reason, Violations},
};
use axum::{extract::Request, middleware::Next, response::Response};
use tonic::{Code, Status};

/// What tonic and prost say of a request that is not framed or not encoded as it should be.
const UNREADABLE: [&str; 4] = [
    "failed to decode Protobuf message",
    "Missing request message",
    "Unexpected EOF decoding stream",
    "protocol error",
];

/// Gives every error `ErrorInfo`.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            normalize(&status).into_http()
        }
        _ => response,
    }
}

fn normalize(status: &Status) -> Status {
    let (code, message) = (status.code(), status.message());
    match code {
        // tonic's decoder, on a length above the limit, before it reads the message.
        Code::OutOfRange if message.contains("decoded message length too large") => {
            let limit = format!("a request may have {} KiB", MAX_REQUEST_BYTES / 1024);
            status::error(Code::ResourceExhausted, Reason::RequestTooLarge, limit, &[])
        }
        // INTERNAL would be our fault, and page somebody.
        Code::Internal if UNREADABLE.iter().any(|what| message.contains(what)) => {
            let mut violations = Violations::new();
            violations.add("", message);
            violations.into_result().expect_err("one was added")
        }
        Code::Unimplemented if message.is_empty() => status::error(
            code,
            Reason::Unimplemented,
            "this server has no such call",
            &[],
        ),
        _ => status::error(code, reason(code), message, &[]),
    }
}

/// Of what tonic answers by itself.
fn reason(code: Code) -> Reason {
    match code {
        Code::Cancelled => Reason::Cancelled,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::Unimplemented => Reason::Unimplemented,
        _ => Reason::Internal,
    }
}
