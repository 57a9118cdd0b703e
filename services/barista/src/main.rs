//! Parse, set up telemetry, run, and exit with a code that tells the truth.

use anyhow::Context as _;
use barista::Config;
use clap::Parser as _;
use tokio::net::TcpListener;

/// glibc's allocator took a third of what these services spend outside the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = telemetry::init("barista", &config.telemetry)?;
    let ran = run(config).await;
    telemetry.shutdown().await;
    ran
}

async fn run(config: Config) -> anyhow::Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    barista::run(config, listener, stop).await
}
