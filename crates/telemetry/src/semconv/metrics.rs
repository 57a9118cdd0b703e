//! The names of metrics.

/// Ended spans that no collector has got, by `error.type`: `queue_full` or `export_failed`.
pub const TELEMETRY_SPANS_DROPPED: &str = "coffeeshop.telemetry.spans.dropped";
