use super::layer;
use crate::{client, status};
use axum::{Router, extract::Request, middleware::from_fn, response::Response};
use opentelemetry::trace::{SpanKind, Status as SpanStatus, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use std::time::Duration;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

/// The spans of one call, made inside a span named "caller".
async fn spans(
    path: &str,
    answer: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let tracer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // The other tests have no subscriber. Were one of them the first to open this span
    // while ours is being installed, the span could stay switched off.
    drop(super::server_span(""));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(tracer));

    let server = Router::new()
        .fallback(async move || answer())
        .layer(from_fn(layer));
    let caller = info_span!("caller");
    let request = caller.in_scope(|| client::request((), Duration::from_secs(1)));
    let mut http = Request::new(axum::body::Body::empty());
    *http.uri_mut() = path.parse().expect("it is a path");
    *http.headers_mut() = request.metadata().clone().into_headers();
    // Elsewhere: only the headers tell whose call it is.
    let elsewhere = server.oneshot(http).instrument(Span::none());
    drop(elsewhere.await);
    drop(caller);
    exporter
        .get_finished_spans()
        .expect("nothing was shut down")
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key.as_str() == key);
    found.map(|a| a.value.to_string())
}

const PLACE: &str = "/coffeeshop.reception.v1.ReceptionService/PlaceOrder";

#[tokio::test]
async fn the_servers_span_is_a_child_of_the_callers() {
    let spans = spans(PLACE, || {
        Span::current().record("coffeeshop.order.id", "7");
        Status::not_found("no such order").into_http()
    })
    .await;
    let [call, caller] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(
        call.name,
        "coffeeshop.reception.v1.ReceptionService/PlaceOrder"
    );
    assert_eq!(call.span_kind, SpanKind::Server);
    assert_eq!(call.parent_span_id, caller.span_context.span_id());
    assert_eq!(call.span_context.trace_id(), caller.span_context.trace_id());
    assert_eq!(
        attribute(call, "rpc.response.status_code").as_deref(),
        Some("NOT_FOUND")
    );
    assert_eq!(attribute(call, "coffeeshop.order.id").as_deref(), Some("7"));
    assert_eq!(
        call.status,
        SpanStatus::Unset,
        "a wrong request is its sender's fault"
    );
}

#[tokio::test]
async fn what_is_our_fault_is_an_error() {
    let spans = spans(PLACE, || {
        status::error(Code::Internal, status::Reason::Internal, "odd", &[]).into_http()
    })
    .await;
    assert!(
        matches!(spans[0].status, SpanStatus::Error { .. }),
        "{:?}",
        spans[0].status
    );
}

#[tokio::test]
async fn health_checks_have_no_span() {
    let spans = spans("/grpc.health.v1.Health/Check", || {
        Status::ok("").into_http()
    })
    .await;
    assert_eq!(spans.len(), 1, "the caller's alone: {spans:?}");
}
