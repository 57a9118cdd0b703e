//! What wraps every gRPC call, inbound and outbound.
//!
//! Inbound, [`server`] puts the same layers around every service, in this order: the
//! deadline is noted, a span opened ([`trace`]), an eye kept on who reads its stream
//! ([`slow`]), the call counted for the drain ([`calls`]), tonic's own errors given our
//! form ([`normalize`]), the deadline kept ([`deadline`]). With health and reflection
//! included, a service adds only itself.
//!
//! Outbound, [`client`] gives each request a deadline and the trace it belongs to, and
//! [`outbound`] puts around it what a service needs that cannot rely on another one:
//! retries, a [`breaker`], a limit.
//!
//! Errors carry `google.rpc` details ([`status`]): messages are for people, reasons for
//! programs.

/// Refusing calls beyond what can be answered in time.
pub mod admission;
/// Not asking a service that fails.
pub mod breaker;
// Calls in flight, for the drain.
mod calls;
/// Requests to other services.
pub mod client;
/// How long the caller still waits.
pub mod deadline;
// The methods of our contracts.
mod methods;
// What is measured of calls.
mod metrics;
// Errors that tonic makes, in the form of ours.
mod normalize;
/// What is around every call to another service.
pub mod outbound;
/// Page sizes and opaque page tokens.
pub mod page;
/// The server of every process.
pub mod server;
// Watchers who do not read.
mod slow;
/// Errors with `google.rpc` details.
pub mod status;
/// Response streams that end when the process stops.
pub mod stream;
// The span of a call.
mod trace;
/// Turns to read, for those who watch.
pub mod turns;
/// Checks of single fields.
pub mod validate;

/// Health checks and reflection come from machinery, many and without end: they get no
/// span, and no drain waits for them.
fn is_internal(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}
