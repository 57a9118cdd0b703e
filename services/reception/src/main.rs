//! The process: parse, telemetry, run.

use clap::Parser as _;
use reception::config::Config;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// glibc's allocator took a third of what these services spend outside the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reception: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init("reception", &config.telemetry)?;
    let stop = lifecycle::stop_on_signals()?;
    let listener = TcpListener::bind(config.server.listen).await?;
    let served = reception::run(config, listener, stop).await;
    telemetry.shutdown().await;
    served
}
