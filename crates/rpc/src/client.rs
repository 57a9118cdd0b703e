//! Requests to other services: a deadline on each, in the trace of whoever sends it.

/// Whether a call was ever sent.
mod unsent;

use crate::status::{self, Reason};
use anyhow::Context as _;
use std::{error::Error as _, time::Duration};
use telemetry::propagation::{self, TraceContext};
use tonic::{
    Code, Request, Status, TimeoutExpired,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// A connection to one address, made when it is first used and again whenever it broke.
///
/// One address, not a balanced list: tonic's balancer keeps sending to dead ones.
pub fn channel(url: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("not a URL of a service: {url}"))?
        // A host that does not answer must not eat a call's whole deadline.
        .connect_timeout(Duration::from_secs(1))
        // Requests are small and somebody waits for each.
        .tcp_nodelay(true)
        // Finds out, within half a minute, that the other side vanished without a word;
        // also while idle, so that the next call does not pay for it.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
}

/// A request that gives up after `timeout`, here and at the server, and whose server
/// span becomes a child of the current span.
pub fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    propagation::inject(&TraceContext::current(), request.metadata_mut().as_mut());
    request
}

/// Gives errors that tonic makes itself the code by which others know them.
///
/// Its own timeout it calls `CANCELLED`, which everybody else says of a caller that left: that
/// is `DEADLINE_EXCEEDED`. A connection that broke below a call it calls `UNKNOWN` or `CANCELLED`:
/// by gRPC's own table that is `UNAVAILABLE`. So is a call that was not sent, whatever tonic
/// calls it: see [`was_not_begun`].
pub fn normalize(status: Status) -> Status {
    let expired = status.source().is_some_and(|source| source.is::<TimeoutExpired>())
        // From a server with the same habit, which is all text.
        || status.message() == "Timeout expired";
    if status.code() == Code::Cancelled && expired {
        return crate::deadline::exceeded();
    }
    // What a server says has no source.
    let Some(cause) = status.source() else {
        return status;
    };
    let (reason, what) = match status.code() {
        _ if unsent::is_unsent(cause) => (Reason::NotSent, "the call was not sent"),
        Code::Unknown | Code::Cancelled => (Reason::ConnectionBroken, "the connection broke"),
        _ => return status,
    };
    let message = format!("{what}: {}", status.message());
    status::error(Code::Unavailable, reason, message, &[])
}

/// Whether a normalized failure means that the call was not begun.
///
/// It was not sent, or met a process that is only starting, or about to end. It is not done, and may
/// be sent again at once, elsewhere, also if it is not safe to repeat.
pub fn was_not_begun(status: &Status) -> bool {
    let info = status.get_details_error_info();
    let not_begun = [Reason::NotSent, Reason::Starting, Reason::Draining].map(status::word);
    info.is_some_and(|info| not_begun.contains(&info.reason.as_str()))
}

#[cfg(test)]
mod tests;
