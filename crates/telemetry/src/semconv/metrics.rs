//! The names of metrics.
