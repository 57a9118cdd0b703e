//! Spans that the macros of `tracing` cannot make: of another trace than what runs now, begun
//! in the past, or with links to a whole batch.
//!
//! They cost a third of a span of `tracing`, and nothing at all where nobody would see them: with
//! no collector `child` and `root` return none, and so does `child` in a trace that is not
//! sampled; no attribute is made. Whether a trace that `root` begins is sampled is decided only when
//! it is opened, attributes and all. An open span ends when it is dropped.

use crate::propagation::TraceContext;
use opentelemetry::{
    Context, ContextGuard, KeyValue, Value,
    trace::{Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::{fmt, sync::OnceLock, time::SystemTime};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The most links of a span that are kept: the SDK drops the others.
pub const MAX_LINKS: usize = 128;

/// Set if there is somewhere to send spans to.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Makes this the tracer of the process. The first one stays.
pub(crate) fn install(tracer: SdkTracer) {
    TRACER.set(tracer).ok();
}

/// A span that has not begun.
pub struct Draft {
    tracer: &'static SdkTracer,
    builder: SpanBuilder,
    parent: Context,
}

/// A span that has begun, and ends when this is dropped.
#[derive(Debug)]
pub struct Open(Span);

/// Whether there is somewhere to send spans to.
pub fn recorded() -> bool {
    TRACER.get().is_some()
}

/// A span in the trace that `parent` belongs to; none if that is not recorded.
pub fn child(parent: &TraceContext, name: fmt::Arguments<'_>) -> Option<Draft> {
    let tracer = TRACER.get().filter(|_| parent.is_sampled())?;
    Some(Draft {
        tracer,
        builder: SpanBuilder::from_name(name.to_string()),
        parent: parent.extract(),
    })
}

/// A span that begins a trace of its own; none if nothing is recorded.
pub fn root(name: fmt::Arguments<'_>) -> Option<Draft> {
    Some(Draft {
        tracer: TRACER.get()?,
        builder: SpanBuilder::from_name(name.to_string()),
        parent: Context::new(),
    })
}

impl Draft {
    /// Its role, if it has one beyond this process.
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.builder.span_kind = Some(kind);
        self
    }

    /// What it is about, by the names of [`crate::semconv`].
    #[must_use]
    pub fn with(mut self, attributes: Vec<KeyValue>) -> Self {
        self.builder.attributes = Some(attributes);
        self
    }

    /// When it began, if not now.
    #[must_use]
    pub fn begun(mut self, at: SystemTime) -> Self {
        self.builder.start_time = Some(at);
        self
    }

    /// What else it came about by; [`MAX_LINKS`] of them.
    #[must_use]
    pub fn linked<'a>(mut self, to: impl IntoIterator<Item = &'a TraceContext>) -> Self {
        let links = to
            .into_iter()
            .take(MAX_LINKS)
            .map(TraceContext::span_context);
        let links = links.filter(|context| context.is_valid());
        self.builder.links = Some(links.map(Link::with_context).collect());
        self
    }

    /// Begins it.
    pub fn open(self) -> Open {
        Open(self.tracer.build_with_context(self.builder, &self.parent))
    }
}

impl Open {
    /// What children of it refer to.
    pub fn context(&self) -> TraceContext {
        TraceContext::from(self.0.span_context())
    }

    /// Says more about it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// Says that it went wrong. `error` is a word, not a sentence: `error.type`.
    pub fn fail(&mut self, error: impl Into<Value>) {
        self.set(crate::semconv::ERROR_TYPE, error);
        self.0.set_status(Status::error(""));
    }
}

/// Says in a span of `tracing` that an event was decided there which has no span of its own.
pub fn happened(span: &tracing::Span, event_type: &'static str) {
    span.add_event(event_type, Vec::new());
}

/// Until it is dropped, what is logged in this thread belongs to the trace of `context`. Not
/// across an `await`.
pub fn belongs_to(context: &TraceContext) -> ContextGuard {
    let span_context = context.span_context();
    Context::current()
        .with_remote_span_context(span_context)
        .attach()
}
