//! A span's identity as strings, in the W3C Trace Context format.
//!
//! gRPC and Kafka carry it in headers, the outbox in two columns: an event published a
//! minute later, by another process, still belongs to the trace of its order.
//!
//! Without [`crate::init`] every context is empty, and setting one changes nothing.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetrySpanExt as _, SetParentError};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Which span something belongs to; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// Version, trace id, span id and flags.
    pub traceparent: Option<String>,
    /// What tracing systems add for themselves.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// The context of the span that is entered now.
    pub fn current() -> Self {
        Self::of(&Span::current())
    }

    /// The context of `span`. It fixes the span's parent: set that before.
    pub fn of(span: &Span) -> Self {
        let mut context = Self::default();
        TraceContextPropagator::new().inject_context(&span.context(), &mut context);
        context
    }

    /// Makes `span` a child of this context; an empty one changes nothing.
    ///
    /// Only before the span is entered or asked for its own context: after that its
    /// identity is fixed.
    pub fn set_as_parent(&self, span: &Span) {
        let parent = self.extract();
        if !parent.has_active_span() {
            return;
        }
        if let Err(error @ SetParentError::AlreadyStarted) = span.set_parent(parent) {
            tracing::warn!(%error, "this span stays outside of its caller's trace");
        }
    }

    /// Says that `span` came about because of this context.
    pub fn link_from(&self, span: &Span) {
        span.add_link(self.span_context());
    }

    /// This one, or the other where it is empty.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self.traceparent {
            Some(_) => self,
            None => other,
        }
    }

    /// Whether spans of this trace are recorded.
    pub fn is_sampled(&self) -> bool {
        let flags = self
            .traceparent
            .as_deref()
            .and_then(|text| text.rsplit('-').next());
        let flags = flags.and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }

    pub(crate) fn span_context(&self) -> SpanContext {
        self.extract().span().span_context().clone()
    }

    pub(crate) fn extract(&self) -> Context {
        // Not into the current context: what runs now must not become the parent.
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(span: &SpanContext) -> Self {
        let mut context = Self::default();
        let span = Context::new().with_remote_span_context(span.clone());
        TraceContextPropagator::new().inject_context(&span, &mut context);
        context
    }
}

impl Injector for TraceContext {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.traceparent = Some(value),
            // The propagator sets it to nothing rather than not at all.
            "tracestate" => self.tracestate = Some(value).filter(|state| !state.is_empty()),
            _ => {}
        }
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Writes the context into the headers of a request.
pub fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    for (name, value) in [
        (TRACEPARENT, &context.traceparent),
        (TRACESTATE, &context.tracestate),
    ] {
        // It may come from a stranger's message; what is no header value stays out.
        if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Reads the context from the headers of a request.
pub fn extract(headers: &HeaderMap) -> TraceContext {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    TraceContext {
        traceparent: text(TRACEPARENT),
        tracestate: text(TRACESTATE),
    }
}

#[cfg(test)]
mod tests;
