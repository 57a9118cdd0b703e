//! Counting the spans that the collector rejects of a batch that it takes.
//!
//! Problem: its answer says how many (`partial_success`), and the exporter calls that a success. It only
//! logs the number, and nobody prints what the SDK logs.
//! Guarantee: each number is counted, whatever lines are printed: a layer hears that one event, by
//! its name and its field.
//! Not guaranteed by the exporter: that both stay as they are. `tests/rejected.rs` would say so.

use super::dropped::Ledger;
use std::{fmt, sync::Arc};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context};

/// Who logs it, as what, and where the number is.
const EXPORTER: &str = "opentelemetry-otlp";
const EVENT: &str = "TonicTracesClient.PartialSuccess";
const REJECTED_SPANS: &str = "rejected_spans";

/// Hears of rejected spans, for the ledger of who sends them.
pub(super) struct Rejected(pub(super) Arc<Ledger>);

impl<S: Subscriber> Layer<S> for Rejected {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().name() == EVENT {
            event.record(&mut Count(&self.0));
        }
    }
}

/// What the layer need not be asked about.
pub(super) fn filter() -> Targets {
    Targets::new().with_target(EXPORTER, LevelFilter::WARN)
}

struct Count<'a>(&'a Ledger);

impl Visit for Count<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == REJECTED_SPANS {
            self.0.reject(u64::try_from(value).unwrap_or(0));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
