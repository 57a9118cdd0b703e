use super::{TraceContext, extract, inject};
use crate::traces::{self, Provider};
use http::HeaderMap;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;

/// Runs a test with spans that have an identity.
fn traced(test: impl FnOnce()) {
    let provider = Provider::without_exporter();
    let subscriber = tracing_subscriber::registry().with(traces::layer(&provider));
    tracing::subscriber::with_default(subscriber, test);
}

fn trace_id(context: &TraceContext) -> &str {
    let traceparent = context.traceparent.as_deref().expect("it has a trace");
    traceparent
        .split('-')
        .nth(1)
        .expect("version-trace-span-flags")
}

#[test]
fn a_span_far_away_belongs_to_the_same_trace() {
    traced(|| {
        let stored = info_span!("order").in_scope(TraceContext::current);
        let mut headers = HeaderMap::new();
        inject(&stored, &mut headers);
        let arrived = extract(&headers);
        assert_eq!(arrived, stored);

        let span = info_span!("process");
        arrived.set_as_parent(&span);
        let continued = span.in_scope(TraceContext::current);
        assert_eq!(trace_id(&continued), trace_id(&stored));
        assert_ne!(continued, stored, "it is another span");
    });
}

#[test]
fn what_runs_now_does_not_become_the_parent() {
    traced(|| {
        let _loop = info_span!("relay").entered();
        let span = info_span!(parent: None, "process");
        TraceContext::default().set_as_parent(&span);
        assert_ne!(
            trace_id(&TraceContext::of(&span)),
            trace_id(&TraceContext::current())
        );
    });
}

#[test]
fn an_empty_context_leaves_a_span_where_it_is() {
    traced(|| {
        let _call = info_span!("call").entered();
        let span = info_span!("process");
        TraceContext::default().set_as_parent(&span);
        let (child, parent) = (TraceContext::of(&span), TraceContext::current());
        assert_eq!(trace_id(&child), trace_id(&parent));
    });
}

#[test]
fn a_parent_that_comes_too_late_changes_nothing() {
    traced(|| {
        let stored = TraceContext::of(&info_span!("order"));
        let span = info_span!("process");
        let before = span.in_scope(TraceContext::current);
        stored.set_as_parent(&span);
        assert_eq!(TraceContext::of(&span), before);
    });
}

#[test]
fn garbage_is_no_context_and_no_header() {
    traced(|| {
        let garbage = TraceContext {
            traceparent: Some("coffee\n".to_owned()),
            tracestate: None,
        };
        let span = info_span!("process");
        garbage.set_as_parent(&span);
        garbage.link_from(&span);
        assert!(TraceContext::of(&span).traceparent.is_some());

        let mut headers = HeaderMap::new();
        inject(&garbage, &mut headers);
        assert!(headers.is_empty());
    });
}

#[test]
fn without_a_subscriber_every_context_is_empty() {
    let span = info_span!("order");
    TraceContext::default().set_as_parent(&span);
    assert_eq!(TraceContext::of(&span), TraceContext::default());
}
