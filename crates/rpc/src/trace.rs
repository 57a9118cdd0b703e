//! The server span of a call: a child of the caller's span, named and described after
//! the semantic conventions of OpenTelemetry (1.42).
//!
//! It lasts until the response's last byte is taken. A handler that knows which order
//! it is about says so with `Span::current().record("coffeeshop.order.id", …)`.

use crate::{is_internal, status};
use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use telemetry::propagation;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field::Empty};

/// Opens the span around a call.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    if is_internal(request.uri().path()) {
        return next.run(request).await;
    }
    let span = server_span(request.uri().path().trim_start_matches('/'));
    // Before the span is entered: afterwards its parent is fixed.
    propagation::extract(request.headers()).set_as_parent(&span);
    let response = next.run(request).instrument(span.clone()).await;
    record_outcome(response, span)
}

fn server_span(method: &str) -> Span {
    tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        error.type = Empty,
        coffeeshop.order.id = Empty,
    )
}

/// A failed unary call says so in its headers; everything else in the trailers.
fn record_outcome(response: Response, span: Span) -> Response {
    if record(&span, response.headers()) {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                record(&span, trailers);
            }
            frame
        }))
    })
}

fn record(span: &Span, headers: &HeaderMap) -> bool {
    let Some(status) = Status::from_header_map(headers) else {
        return false;
    };
    span.record("rpc.response.status_code", status::name(status.code()));
    if is_our_fault(status.code()) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status::name(status.code()));
    }
    true
}

/// What the conventions count as a server's error. A wrong request is its sender's.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests;
