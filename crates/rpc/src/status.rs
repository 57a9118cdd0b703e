//! Errors with `google.rpc` details.
//!
//! Every error carries `ErrorInfo`: the domain `coffeeshop` and a reason in
//! `UPPER_SNAKE_CASE` that never changes, listed in the contract beside its call.
//! `RetryInfo` means that the same request may be sent again after that time, and that
//! doing so is safe; an error without it promises nothing of the kind.

use std::{collections::HashMap, error::Error, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

const DOMAIN: &str = "coffeeshop";
/// Most violations listed in one error: it has to fit into a response header.
const MAX_VIOLATIONS: usize = 100;
/// When to try again what a restart or a failover will have healed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error with `ErrorInfo`.
pub fn error(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// `UNAVAILABLE` with `RetryInfo`: nothing was done, and later it will work.
pub fn unavailable(reason: &str, message: impl Into<String>, retry_after: Duration) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// `NOT_FOUND` with `ResourceInfo`. The type is the message's full name:
/// `coffeeshop.reception.v1.Order`.
pub fn not_found(reason: &str, resource_type: &str, resource_name: &str) -> Status {
    let kind = resource_type.rsplit('.').next().unwrap_or(resource_type);
    let mut details = info(reason, &[]);
    details.set_resource_info(resource_type, resource_name, "", "");
    let message = format!("there is no {kind} {resource_name}");
    Status::with_error_details(Code::NotFound, message, details)
}

/// `UNAVAILABLE DRAINING`: this process is stopping, another one will answer.
pub fn draining() -> Status {
    unavailable("DRAINING", "this process is stopping", RETRY_AFTER)
}

/// `UNAVAILABLE STORE_UNAVAILABLE` for a failed database call that changed nothing.
/// Logs the error, which is not for the caller's eyes.
pub fn from_sqlx(error: &(dyn Error + 'static)) -> Status {
    tracing::error!(error, "the database did not answer as it should");
    unavailable("STORE_UNAVAILABLE", "the database is away", RETRY_AFTER)
}

/// What is wrong with a request: all of it, so that its sender needs one round.
#[derive(Debug, Default)]
pub struct Violations {
    listed: Vec<FieldViolation>,
    unlisted: usize,
}

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. The field is a path (`items[2].quantity`); the description says what
    /// is expected of it.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.listed.len() < MAX_VIOLATIONS {
            self.listed.push(FieldViolation::new(field, description));
        } else {
            self.unlisted += 1;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// `INVALID_ARGUMENT INVALID_REQUEST` with `BadRequest`, if anything is wrong.
    pub fn into_result(mut self) -> Result<(), Status> {
        if self.is_empty() {
            return Ok(());
        }
        if self.unlisted > 0 {
            let more = format!("{} more violations are not listed", self.unlisted);
            self.listed.push(FieldViolation::new("", more));
        }
        let message = match self.listed.as_slice() {
            [only] => format!("{}: {}", only.field, only.description),
            many => format!("{} violations", many.len()),
        };
        let mut details = info("INVALID_REQUEST", &[]);
        details.set_bad_request(self.listed);
        Err(Status::with_error_details(
            Code::InvalidArgument,
            message,
            details,
        ))
    }
}

/// The code's name in the gRPC specification.
pub(crate) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
