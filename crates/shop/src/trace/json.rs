//! A trace for scripts: one object, times in nanoseconds.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::Found;
use crate::traces::{Kind, Link, Span, SpanId, TraceId, waits};

#[derive(Serialize)]
struct Trace<'a> {
    order_id: Option<String>,
    order_state: Option<&'a str>,
    trace_id: &'a TraceId,
    /// One root, and every other span's parent is here.
    connected: bool,
    /// Why not.
    torn: Option<String>,
    /// In the order of the drawing: each after its parent.
    spans: Vec<Line<'a>>,
    /// Of other traces, linked to this one.
    linked: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    trace_id: &'a TraceId,
    span_id: &'a SpanId,
    parent_span_id: Option<&'a SpanId>,
    service: &'a str,
    name: &'a str,
    kind: Kind,
    start_unix_ns: u64,
    end_unix_ns: u64,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ns: Option<u128>,
    attributes: &'a BTreeMap<String, String>,
    events: Vec<Moment<'a>>,
    links: &'a [Link],
}

#[derive(Serialize)]
struct Moment<'a> {
    unix_ns: u64,
    name: &'a str,
    attributes: &'a BTreeMap<String, String>,
}

pub(super) fn text(found: &Found) -> Result<String> {
    let rows = found.tree.rows();
    let waits = waits(&found.tree, &rows).into_iter();
    let torn = found.tree.connected().err();
    let trace = Trace {
        order_id: found.order.as_ref().map(|order| order.order_id.to_string()),
        order_state: found.order.as_ref().map(|order| order.state.as_str()),
        trace_id: &found.trace_id,
        connected: torn.is_none(),
        torn: torn.map(|torn| torn.to_string()),
        spans: rows
            .iter()
            .zip(waits)
            .map(|(row, wait)| line(row.span, wait.map(|wait| wait.duration().as_nanos())))
            .collect(),
        linked: found.linked.iter().map(|span| line(span, None)).collect(),
    };
    Ok(serde_json::to_string_pretty(&trace)?)
}

fn line(span: &Span, waited_ns: Option<u128>) -> Line<'_> {
    Line {
        trace_id: &span.trace_id,
        span_id: &span.span_id,
        parent_span_id: span.parent.as_ref(),
        service: &span.service,
        name: &span.name,
        kind: span.kind,
        start_unix_ns: span.start_unix_ns,
        end_unix_ns: span.end_unix_ns,
        error: span.error.as_deref(),
        waited_ns,
        attributes: &span.attributes,
        events: span
            .events
            .iter()
            .map(|event| Moment {
                unix_ns: event.unix_ns,
                name: &event.name,
                attributes: &event.attributes,
            })
            .collect(),
        links: &span.links,
    }
}
