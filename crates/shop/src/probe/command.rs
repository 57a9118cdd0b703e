//! `shop probe`: the health check of a container, in an image that holds nothing else to ask with.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::time::timeout;

use super::ATTEMPT;
use crate::{ports, services::Service};

/// Whom to ask.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// reception, barista or payments
    #[arg(value_parser = service)]
    service: Service,
    /// Where it listens [default: its own port on loopback]
    #[arg(long, value_name = "IP:PORT")]
    at: Option<SocketAddr>,
}

fn service(name: &str) -> Result<Service, String> {
    let mut services = Service::ALL.into_iter();
    let found = services.find(|service| service.name() == name);
    found.ok_or_else(|| "it is reception, barista or payments".to_owned())
}

/// An error unless it is started, migrated and not draining.
pub async fn run(options: Options) -> Result<()> {
    let Options { service, at } = options;
    let at = at.unwrap_or_else(|| ports::loopback(service.default_port()));
    let part = service.part();
    let answer = timeout(ATTEMPT, service.probe(at).ask()).await;
    let answer = answer.with_context(|| format!("{part} at {at} does not answer"))?;
    answer.with_context(|| format!("{part} at {at} is not ready"))
}
