//! How long the caller still waits.
//!
//! A caller states its patience in `grpc-timeout`. tonic keeps to it, but answers
//! `CANCELLED`; this layer answers `DEADLINE_EXCEEDED`, and is asked first. Either way
//! the handler's future is dropped: any `.await` in it may be its last.
//!
//! Kept until the response begins; a response stream has no deadline here. Not
//! guaranteed: on an overloaded machine, a thread halted between the two timers lets
//! tonic's win (16 of 480,000 calls with 50 ms, eight runnable threads to a core).

use crate::status;
use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use std::time::Duration;
use tokio::time::{self, Instant};
use tonic::{Code, Status};

#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

/// What is left of the caller's patience; none if the caller stated none.
pub fn remaining<T>(request: &tonic::Request<T>) -> Option<Duration> {
    let Deadline(at) = request.extensions().get()?;
    Some(at.saturating_duration_since(Instant::now()))
}

pub(crate) fn exceeded() -> Status {
    status::error(
        Code::DeadlineExceeded,
        status::Reason::DeadlineExceeded,
        "the deadline is over",
        &[],
    )
}

/// When the caller of this request stops waiting, if it said so.
pub(crate) fn of(request: &Request) -> Option<Instant> {
    let Deadline(at) = request.extensions().get()?;
    Some(*at)
}

/// Notes the deadline. Not async, so that it is earlier than tonic's own, which is
/// taken when this returns.
pub(crate) fn note(request: http::Request<tonic::body::Body>) -> Request {
    let mut request = request.map(Body::new);
    if let Some(timeout) = timeout(request.headers()) {
        let at = Instant::now() + timeout;
        request.extensions_mut().insert(Deadline(at));
    }
    request
}

/// Ends the call when its deadline is over.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let Some(Deadline(at)) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    let answer = time::timeout_at(at, next.run(request)).await;
    answer.unwrap_or_else(|_| exceeded().into_http())
}

/// `grpc-timeout`: at most eight digits and a unit. Anything else counts as none, as
/// tonic sees it.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 60 * 60),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::timeout;
    use http::HeaderMap;
    use std::time::Duration;

    fn parsed(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("it is a header value"));
        timeout(&headers)
    }

    #[test]
    fn timeouts_have_a_unit() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parsed("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parsed("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parsed("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn anything_else_is_no_timeout() {
        for text in [
            "",
            "S",
            "5",
            "5s",
            "-5S",
            "+5S",
            "100000000m",
            "5 S",
            "5\u{b5}",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
