//! The mocked payment provider, with a ledger of its own that outlives it.
//!
//! A key is decided once (`charge`), or closed for good (`cancel`), in one transaction
//! (`store`), and whoever asks again gets that decision. What was charged is given back
//! once (`refund`). Drills tell it to misbehave over gRPC (`behavior`).
//!
//! There is no `events.rs`: it hears and says nothing over Kafka, as the real provider
//! would not.

// The sum of the options.
mod config;
// Wire to domain, errors to statuses.
mod grpc;
// The use cases: closing a key, whether it was charged or not.
pub mod cancel;
// One key, one decision.
pub mod charge;
// Giving money back.
mod refund;
// What payments and refunds are.
pub mod payment;
// How it misbehaves.
mod behavior;
// The SQL.
mod store;

pub use config::Config;

use batching::{Limits, batcher};
use behavior::Behavior;
use charge::Deciding;
use lifecycle::{Stop, Tasks, holding, postgres};
use proto::payments::v1::payments_service_server::SERVICE_NAME;
use rpc::server::Server;
use sqlx::migrate::Migrator;
use std::time::Duration;
use tokio::net::TcpListener;

/// Enough for a slow statement to run into its own limit on the server, which says more.
const LEDGER: Limits = Limits {
    wait: Duration::from_secs(1),
    patience: Duration::from_secs(3),
};

static MIGRATOR: Migrator = sqlx::migrate!();

/// What the server gets to return after its drain, before it counts as stuck.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Runs the service until `stop`.
pub async fn run(config: Config, listener: TcpListener, stop: Stop) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let grace = config.server.drain_grace;
    let pool = postgres::pool(&config.postgres, "payments")?;
    let behavior = Behavior::default();
    let (ledger, deciding) = batcher(pool.clone(), Deciding, LEDGER);

    let server = Server::new(SERVICE_NAME)
        .keepalive(config.server.keepalive)
        .add_service(grpc::payments(pool.clone(), ledger, behavior.clone()))
        .add_service(grpc::admin(behavior));
    let readiness = server.readiness();

    let mut tasks = Tasks::new(stop.clone());
    let drained = Stop::new();
    // Dropped even if the task panics: the ledger must not wait for ever.
    let serving = server.serve(listener, stop.clone(), grace);
    // Before the migration: health answers NOT_SERVING while Postgres is away.
    tasks.spawn("grpc", holding(drained.clone().drop_guard(), serving));
    postgres::migrate(&pool, &MIGRATOR, &stop).await?;
    let watched = postgres::watch(pool, "payments", drained.clone());
    tasks.spawn("pool", watched);
    tasks.spawn("ledger", deciding.run(drained));
    // Also returns when it was stopped while it waited for Postgres.
    if !stop.is_cancelled() {
        readiness.ready().await;
        tracing::info!(%address, "listening");
    }
    tasks.join(grace + STOP_MARGIN).await
}
