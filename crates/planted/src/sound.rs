//! A build in which nothing can be planted.

use crate::Bug;

/// Whether this guard is taken out: never.
pub const fn bug(_bug: Bug) -> bool {
    false
}

/// The statement as it is.
pub const fn swap(
    _bug: Bug,
    _guard: &str,
    _without: &str,
    statement: &'static str,
) -> &'static str {
    statement
}
