//! The launcher as people use it: the binary, with real servers and services.
//!
//! `cargo build --locked` comes first: the launcher refuses services that are missing or stale.

// A shop that is asked by its addresses.
mod elsewhere;
// A child that dies with its parent.
mod guard;
// Opening, mending, closing.
mod life;
// What `shop` measures with: orders that nobody placed, and messages that nobody sent.
mod measuring;
// Where an order spent its time, or why nobody can tell.
mod tracing;
