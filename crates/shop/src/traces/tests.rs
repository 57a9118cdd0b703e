use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Exported},
};

use telemetry::semconv::MESSAGING_OPERATION_NAME;

use super::*;

/// A span of the trace 1: its id, its parent's (0: none), its name, when it began and ended.
fn span(id: u8, parent: u8, name: &str, times: (u64, u64)) -> Span {
    let exported = Exported {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        parent_span_id: vec![parent; if parent == 0 { 0 } else { 8 }],
        name: name.to_owned(),
        kind: 5,
        start_time_unix_nano: times.0,
        end_time_unix_nano: times.1,
        ..Exported::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![exported],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    let mut spans = Span::all(ExportTraceServiceRequest { resource_spans });
    let mut span = spans.next().expect("there is one");
    let operation = (MESSAGING_OPERATION_NAME.to_owned(), name.to_owned());
    span.attributes.extend([operation]);
    span
}

#[test]
fn one_root_and_every_parent_present_is_a_tree() {
    let tree = Tree::new([
        span(3, 2, "process", (60, 70)),
        span(1, 0, "place", (0, 10)),
        span(2, 1, "create", (5, 5)),
        span(4, 2, "send", (5, 50)),
    ]);
    assert_eq!(tree.connected(), Ok(()));
    assert_eq!(tree.names(), ["place", "create", "send", "process"]);
    let indents: Vec<_> = tree.rows().into_iter().map(|row| row.last).collect();
    assert_eq!(
        indents,
        [vec![], vec![true], vec![true, false], vec![true, true]]
    );
}

#[test]
fn what_is_no_tree_is_called_by_its_name() {
    let (root, child) = (span(1, 0, "place", (0, 9)), span(3, 2, "process", (5, 6)));
    let other = Span {
        trace_id: TraceId::parse(&"ab".repeat(16)).expect("it is one"),
        ..span(4, 0, "cancel", (7, 8))
    };
    let torn = |spans: &[&Span]| {
        let tree = Tree::new(spans.iter().copied().cloned());
        tree.connected().expect_err("it is none")
    };
    assert_eq!(torn(&[]), Torn::Empty);
    assert_eq!(
        torn(&[&root, &child]),
        Torn::Orphans(vec!["process".to_owned()])
    );
    assert_eq!(torn(&[&root, &other]), Torn::Traces(2));
    let second = span(5, 0, "settle", (9, 10));
    let roots = vec!["place".to_owned(), "settle".to_owned()];
    assert_eq!(torn(&[&root, &second]), Torn::Roots(roots));
}

#[test]
fn a_context_names_its_trace_if_it_is_recorded() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let context = |flags| TraceId::of_context(&format!("00-{trace}-b7ad6b7169203331-{flags}"));
    assert_eq!(context("01"), TraceId::parse(trace));
    assert_eq!(context("00"), None);
    assert_eq!(TraceId::of_context("00-0af7"), None);
}

#[test]
fn waits_are_named_and_measured() {
    let tree = Tree::new([
        span(1, 0, "create", (0, 10)),
        span(2, 1, "send", (10, 50)),
        span(3, 1, "process", (80, 90)),
    ]);
    let waits = waits(&tree, &tree.rows());
    let ns = waits
        .iter()
        .map(|wait| wait.map(|wait| wait.duration().as_nanos()));
    assert_eq!(ns.collect::<Vec<_>>(), [None, Some(40), Some(30)]);
}
