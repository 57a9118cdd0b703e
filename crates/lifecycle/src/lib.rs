//! Start and stop of a process: signals, supervised tasks, a truthful exit code.
//!
//! One [`Stop`] runs through a process. [`stop_on_signals`] cancels it, and so does
//! the first task of [`Tasks`] that fails; everything else listens to it and ends by
//! itself, within a bound. Whatever did not end well comes out of [`Tasks::join`] as
//! an error, so that `main` exits non-zero and the supervisor outside can see it.
//!
//! Not guaranteed: anything after `kill -9`. What must survive that is in Postgres.

// What is in hand at the stop.
mod patiently;
/// The database every service waits for at its start.
#[cfg(feature = "postgres")]
pub mod postgres;
// SIGTERM and SIGINT.
mod signals;
// The supervised set.
mod tasks;

pub use patiently::patiently;
pub use signals::stop_on_signals;
pub use tasks::{Tasks, holding};
pub use tokio_util::sync::CancellationToken as Stop;
