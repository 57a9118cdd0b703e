//! The names of what is told about a shop, in one place.

/// Of what is measured.
pub mod metrics;
