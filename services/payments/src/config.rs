//! The sum of the components' options. `payments --help` is the manual.

use clap::Parser;

/// The mocked payment provider: decides each idempotency key once, and misbehaves when told to.
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Config {
    /// Where calls come in.
    #[command(flatten)]
    pub server: rpc::server::Options<50053>,
    /// The ledger.
    #[command(flatten)]
    pub postgres: lifecycle::postgres::Options,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Options,
}
