//! How long calls take and how they end, in and out.
//!
//! Every call is measured once, however it ends. One whose caller leaves counts as `CANCELLED`, or
//! as `DEADLINE_EXCEEDED` if the caller had waited as long as it said that it would.
//! Instruments are made when first used, from the process's meter provider, and do nothing if it
//! has none.

use crate::{deadline, is_internal, methods, status};
use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use opentelemetry::{KeyValue, global, metrics::Histogram};
use std::{sync::LazyLock, time::Duration};
use telemetry::semconv::metrics::{RPC_CLIENT_CALL_DURATION, RPC_SERVER_CALL_DURATION, SECONDS};
use tokio::time::Instant;
use tonic::{Code, Status};

static DURATIONS: LazyLock<Durations> = LazyLock::new(Durations::new);

struct Durations {
    server: Histogram<f64>,
    client: Histogram<f64>,
}

impl Durations {
    fn new() -> Self {
        let meter = global::meter("coffeeshop.rpc");
        Self {
            server: RPC_SERVER_CALL_DURATION.histogram(&meter, SECONDS),
            client: RPC_CLIENT_CALL_DURATION.histogram(&meter, SECONDS),
        }
    }
}

/// What a caller may make up is one method to us, or every name would be a time series for ever.
const OTHER: &str = "_OTHER";

/// A call, measured when this is dropped.
#[must_use]
pub(crate) struct Measured {
    duration: &'static Histogram<f64>,
    method: &'static str,
    begin: Instant,
    deadline: Option<Instant>,
    /// None while nothing is answered: the caller may leave before.
    code: Option<Code>,
}

impl Measured {
    /// A call that goes out, with all its tries.
    pub(crate) fn client(method: &'static str) -> Self {
        Self::begin(&DURATIONS.client, method)
    }

    fn server(path: &str) -> Self {
        let method = methods::name(path).unwrap_or(OTHER);
        Self::begin(&DURATIONS.server, method)
    }

    fn begin(duration: &'static Histogram<f64>, method: &'static str) -> Self {
        Self {
            duration,
            method,
            begin: Instant::now(),
            deadline: None,
            code: None,
        }
    }

    /// It ended so.
    pub(crate) fn ended(&mut self, code: Code) {
        self.code = Some(code);
    }

    /// It ended as these headers say, if they do.
    fn told(&mut self, headers: &HeaderMap) -> bool {
        let status = Status::from_header_map(headers);
        if let Some(status) = &status {
            self.ended(status.code());
        }
        status.is_some()
    }
}

/// A caller left after this time: how that counts.
///
/// Caller and server time the same deadline, and whose timer is first is chance: a caller that
/// has waited for nine tenths of its time counts as one that waited for all of it. If it counted
/// as one that changed its mind, a server that hangs would look well.
fn left(after: Duration, patience: Option<Duration>) -> Code {
    match patience {
        Some(patience) if after >= patience.mul_f64(0.9) => Code::DeadlineExceeded,
        _ => Code::Cancelled,
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        let patience = self.deadline.map(|at| at.duration_since(self.begin));
        let code = self.code.unwrap_or_else(|| left(took, patience));
        // All static: nothing is allocated for it.
        let attributes = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", self.method),
            KeyValue::new("rpc.response.status_code", status::name(code)),
        ];
        self.duration.record(took.as_secs_f64(), &attributes);
    }
}

/// Measures a call until the last byte of its response is taken.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    if is_internal(request.uri().path()) {
        return next.run(request).await;
    }
    let mut measured = Measured::server(request.uri().path());
    measured.deadline = deadline::of(&request);
    let response = next.run(request).await;
    // A failed unary call says so in its headers; everything else in the trailers.
    if measured.told(response.headers()) {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                measured.told(trailers);
            }
            frame
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_of_the_contracts_and_no_caller_adds_one() {
        let known = "/coffeeshop.reception.v1.ReceptionService/PlaceOrder";
        assert_eq!(Measured::server(known).method, &known[1..]);
        for made_up in ["/coffeeshop.reception.v1.ReceptionService/Rob", "/", ""] {
            assert_eq!(Measured::server(made_up).method, OTHER);
        }
    }

    #[test]
    fn who_leaves_when_its_time_is_up_was_not_served() {
        let seconds = Duration::from_secs;
        assert_eq!(left(seconds(10), Some(seconds(10))), Code::DeadlineExceeded);
        assert_eq!(left(seconds(9), Some(seconds(10))), Code::DeadlineExceeded);
        assert_eq!(left(seconds(5), Some(seconds(10))), Code::Cancelled);
        assert_eq!(left(seconds(10), None), Code::Cancelled);
    }
}
