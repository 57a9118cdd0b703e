//! Errors with `google.rpc` details.
//!
//! Every error carries `ErrorInfo`: the domain `coffeeshop` and a `Reason`, which is an enum
//! of the contract: one that is not in the contract does not compile.
//! `RetryInfo` means that the same request may be sent again after that time, and that
//! doing so is safe; an error without it promises nothing of the kind.

/// Why a call failed, for programs.
pub use proto::errors::v1::ErrorReason as Reason;
use std::{collections::HashMap, error::Error, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

const DOMAIN: &str = "coffeeshop";
/// Most violations listed in one error.
const MAX_VIOLATIONS: usize = 100;
/// Most text in them. Details travel in a response header, in base64, and clients of
/// other languages refuse headers over 8 KiB: an error that says too much says nothing.
const MAX_VIOLATIONS_BYTES: usize = 5 * 1024;
/// When to try again what a restart or a failover will have healed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Within what our own clients wait: another instance answers, or this one in a moment.
const STARTED_SOON: Duration = Duration::from_millis(250);

/// An error with `ErrorInfo`.
pub fn error(
    code: Code,
    reason: Reason,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// `UNAVAILABLE` with `RetryInfo`: nothing was done, and later it will work.
pub fn unavailable(reason: Reason, message: impl Into<String>, retry_after: Duration) -> Status {
    later(Code::Unavailable, reason, message, retry_after)
}

/// `RESOURCE_EXHAUSTED OVERLOADED` with `RetryInfo`: nothing was done, because too much
/// waits to be done already.
pub fn overloaded(message: impl Into<String>) -> Status {
    later(
        Code::ResourceExhausted,
        Reason::Overloaded,
        message,
        RETRY_AFTER,
    )
}

fn later(code: Code, reason: Reason, message: impl Into<String>, retry_after: Duration) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(code, message, details)
}

/// `ABORTED` with `RetryInfo`: nothing was done; what stands in the way may pass.
pub fn aborted(reason: Reason, message: impl Into<String>, retry_after: Duration) -> Status {
    later(Code::Aborted, reason, message, retry_after)
}

/// `NOT_FOUND` with `ResourceInfo`. The type is the message's full name:
/// `coffeeshop.reception.v1.Order`.
pub fn not_found(reason: Reason, resource_type: &str, resource_name: &str) -> Status {
    let kind = resource_type.rsplit('.').next().unwrap_or(resource_type);
    let mut details = info(reason, &[]);
    details.set_resource_info(resource_type, resource_name, "", "");
    let message = format!("there is no {kind} {resource_name}");
    Status::with_error_details(Code::NotFound, message, details)
}

/// `UNAVAILABLE DRAINING`: this process is stopping, another one will answer. Nothing was done, or
/// it was a stream.
pub fn draining() -> Status {
    unavailable(Reason::Draining, "this process is stopping", RETRY_AFTER)
}

/// `UNAVAILABLE STARTING`: this process has only begun, and nothing was done.
pub(crate) fn starting() -> Status {
    unavailable(Reason::Starting, "this process is starting", STARTED_SOON)
}

/// `UNAVAILABLE STORE_UNAVAILABLE` for a failed database call that changed nothing.
/// Logs the error, which is not for the caller's eyes.
pub fn from_sqlx(error: &(dyn Error + 'static)) -> Status {
    tracing::error!(error, "the database did not answer as it should");
    unavailable(
        Reason::StoreUnavailable,
        "the database is away",
        RETRY_AFTER,
    )
}

/// What is wrong with a request: all of it, so that its sender needs one round.
#[derive(Debug, Default)]
pub struct Violations {
    listed: Vec<FieldViolation>,
    bytes: usize,
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
        let violation = FieldViolation::new(field, description);
        let bytes = self.bytes + violation.field.len() + violation.description.len();
        if self.listed.len() < MAX_VIOLATIONS && bytes <= MAX_VIOLATIONS_BYTES {
            self.bytes = bytes;
            self.listed.push(violation);
        } else {
            self.unlisted += 1;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unlisted == 0
    }

    /// `INVALID_ARGUMENT INVALID_REQUEST` with `BadRequest`, if anything is wrong.
    pub fn into_result(mut self) -> Result<(), Status> {
        if self.is_empty() {
            return Ok(());
        }
        let message = match (self.listed.as_slice(), self.unlisted) {
            // A long text would be in the headers twice.
            ([only], 0) if self.bytes < 1024 => format!("{}: {}", only.field, only.description),
            (listed, unlisted) => format!("{} violations", listed.len() + unlisted),
        };
        if self.unlisted > 0 {
            let more = format!("{} more violations are not listed", self.unlisted);
            self.listed.push(FieldViolation::new("", more));
        }
        let mut details = info(Reason::InvalidRequest, &[]);
        details.set_bad_request(self.listed);
        Err(Status::with_error_details(
            Code::InvalidArgument,
            message,
            details,
        ))
    }
}

/// A reason as it is on the wire: `ORDER_NOT_FOUND`.
pub fn word(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The code's name in the gRPC specification.
pub fn name(code: Code) -> &'static str {
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

fn info(reason: Reason, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ErrorDetails::with_error_info(word(reason), DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use super::{Reason, Violations, not_found, unavailable};
    use std::time::Duration;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    #[test]
    fn every_violation_is_in_one_answer() {
        let mut violations = Violations::new();
        violations.add("items[0].quantity", "must be 1 to 100");
        violations.add("customer_name", "must not be empty");
        let status = violations.into_result().expect_err("two things are wrong");
        assert_eq!(status.code(), Code::InvalidArgument);
        let listed = status.get_details_bad_request().expect("it has BadRequest");
        let fields: Vec<_> = listed
            .field_violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, ["items[0].quantity", "customer_name"]);
        let info = status.get_details_error_info().expect("it has ErrorInfo");
        assert_eq!(info.reason, "INVALID_REQUEST");
    }

    #[test]
    fn a_thousand_violations_are_counted_rather_than_listed() {
        let mut violations = Violations::new();
        for item in 0..1000 {
            violations.add(format!("items[{item}].drink"), "is not on the menu");
        }
        let status = violations.into_result().expect_err("everything is wrong");
        let listed = status.get_details_bad_request().expect("it has BadRequest");
        assert_eq!(listed.field_violations.len(), 101);
        assert_eq!(
            listed.field_violations[100].description,
            "900 more violations are not listed"
        );
        assert_eq!(status.message(), "1000 violations");
    }

    #[test]
    fn an_error_fits_into_the_headers_of_any_client() {
        let mut violations = Violations::new();
        violations.add("customer_name", "x".repeat(5000));
        fits(violations);

        let mut violations = Violations::new();
        for item in 0..100 {
            let description = format!("{} is not on the menu", "x".repeat(item * 10));
            violations.add(format!("items[{item}].drink"), description);
        }
        violations.add("customer_name", "x".repeat(60 * 1024));
        fits(violations);
    }

    fn fits(violations: Violations) {
        let status = violations.into_result().expect_err("something is wrong");
        let response = status.into_http::<()>();
        let bytes: usize = response.headers().values().map(|value| value.len()).sum();
        assert!(bytes < 8 * 1024, "{bytes}");
    }

    #[test]
    fn nothing_wrong_is_no_error() {
        assert!(Violations::new().into_result().is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        let status = not_found(Reason::OrderNotFound, "coffeeshop.reception.v1.Order", "7");
        let resource = status
            .get_details_resource_info()
            .expect("it has ResourceInfo");
        assert_eq!(resource.resource_type, "coffeeshop.reception.v1.Order");
        assert_eq!(resource.resource_name, "7");
        assert_eq!(status.message(), "there is no Order 7");
    }

    #[test]
    fn unavailable_says_when_to_come_back() {
        let status = unavailable(
            Reason::StoreUnavailable,
            "the database is away",
            Duration::from_secs(1),
        );
        let retry = status.get_details_retry_info().expect("it has RetryInfo");
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    }
}
