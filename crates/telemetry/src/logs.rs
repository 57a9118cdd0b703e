//! One line per event on stderr: JSON for machines, a short form for a terminal.
//!
//! A line holds the fields of the spans around it, the order id among them, and the
//! trace id: from a line to its trace, and from an order to its lines. The short form
//! leaves out all of the spans but the order id.

use crate::semconv::ORDER_ID;
use anyhow::Context as _;
use clap::ValueEnum;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use std::{
    fmt,
    io::{self, IsTerminal as _},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{
        FmtContext, FormatEvent, FormatFields as _, FormattedFields, MakeWriter,
        format::{DefaultFields, JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

// Lines to OTLP.
pub(crate) mod export;

/// What is printed, and how.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// How lines look; auto: human on a terminal, else JSON
    #[arg(long, env, value_enum, default_value_t = Format::Auto)]
    log_format: Format,
    /// What is logged: a level, or levels by target, like `info,sqlx=warn`
    // The SDK has a line for each export that fails, as long as the collector is away. Dropped spans
    // are counted, and said once.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx::postgres::notice=warn,opentelemetry=off",
        value_name = "FILTER"
    )]
    log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Human,
    Json,
}

/// Prints what passes the filter.
pub(crate) fn layer<S>(options: &Options) -> anyhow::Result<impl Layer<S> + use<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = filter(options)?;
    let terminal = io::stderr().is_terminal();
    let lines = match options.log_format {
        Format::Auto if terminal => Lines::Human,
        Format::Human => Lines::Human,
        Format::Auto | Format::Json => Lines::Json,
    };
    Ok(lines.layer(io::stderr, terminal).with_filter(filter))
}

fn filter(options: &Options) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder()
        .parse(&options.log)
        .with_context(|| format!("RUST_LOG is not a filter: {}", options.log))
}

enum Lines {
    /// `12:00:01 WARN relay: message field=value coffeeshop.order.id=… trace_id=…`
    Human,
    /// One flat object. Where a span and the event name the same, it is the event's.
    Json,
}

impl Lines {
    fn layer<S, W>(self, writer: W, colors: bool) -> impl Layer<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
        W: for<'writer> MakeWriter<'writer> + 'static,
    {
        tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(colors)
            // For both forms: it is how the fields of spans are kept apart.
            .fmt_fields(JsonFields::new())
            .event_format(self)
    }
}

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = fields_of_spans(context);
        match self {
            Self::Human => human(line, event, fields.get(ORDER_ID)),
            Self::Json => json(line, event, fields),
        }
    }
}

fn human(mut line: Writer<'_>, event: &Event<'_>, order_id: Option<&Value>) -> fmt::Result {
    SystemTime.format_time(&mut line)?;
    let meta = event.metadata();
    write!(line, " {:>5} {}: ", meta.level(), meta.target())?;
    DefaultFields::new().format_fields(line.by_ref(), event)?;
    let said = meta.fields().field(ORDER_ID).is_some();
    if let (Some(Value::String(order_id)), false) = (order_id, said) {
        write!(line, " {ORDER_ID}={order_id}")?;
    }
    if let Some(trace_id) = trace_id() {
        write!(line, " trace_id={trace_id}")?;
    }
    writeln!(line)
}

fn json(mut line: Writer<'_>, event: &Event<'_>, fields: Map<String, Value>) -> fmt::Result {
    let mut object = Object(fields);
    event.record(&mut object);
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    object.set("timestamp", time);
    object.set("level", event.metadata().level().as_str());
    object.set("target", event.metadata().target());
    if let Some(trace_id) = trace_id() {
        object.set("trace_id", trace_id);
    }
    writeln!(line, "{}", Value::Object(object.0))
}

/// The fields of the spans around an event; an inner span's wins.
fn fields_of_spans<S>(context: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let mut all = Map::new();
    for span in context
        .event_scope()
        .into_iter()
        .flat_map(|s| s.from_root())
    {
        if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
            let fields: Map<_, _> = serde_json::from_str(fields).unwrap_or_default();
            all.extend(fields);
        }
    }
    // Instructions to the tracing layer, which mean nothing here.
    all.retain(|name, _| !name.starts_with("otel."));
    all
}

/// The trace of the span that is entered: the layer of [`crate::traces`] sets it.
fn trace_id() -> Option<String> {
    let context = opentelemetry::Context::current();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

struct Object(Map<String, Value>);

impl Object {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }
}

#[cfg(test)]
mod tests;
