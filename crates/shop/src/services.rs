//! The three services as programs.

use std::path::Path;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{binaries::beside, daemon::Daemon, probe::Probe, process::Program};

/// A service of the shop, in the order in which they are listed to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Takes orders.
    Reception,
    /// Makes drinks.
    Barista,
    /// The mocked payment provider.
    Payments,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reception, Self::Barista, Self::Payments];

    /// The name of its crate, binary, database and role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reception => "reception",
            Self::Barista => "barista",
            Self::Payments => "payments",
        }
    }

    /// The gRPC service that its readiness is reported for.
    pub fn readiness(self) -> &'static str {
        match self {
            Self::Reception => "coffeeshop.reception.v1.ReceptionService",
            Self::Barista => "coffeeshop.barista.v1.BaristaService",
            Self::Payments => "coffeeshop.payments.v1.PaymentsService",
        }
    }

    /// The service as a program that listens on `listen`, its settings in the environment.
    pub fn program(
        self,
        listen: SocketAddr,
        log: &Path,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Program> {
        let mut env: Vec<(String, String)> = settings.into_iter().collect();
        env.push(("LISTEN".to_owned(), listen.to_string()));
        Ok(Program {
            name: self.name(),
            path: beside(self.name())?,
            args: Vec::new(),
            env,
            directory: std::env::current_dir()?,
            log: log.to_owned(),
            account: None,
            stop_signal: Signal::SIGTERM,
            // Its own bounds (drain, flush, telemetry) come first.
            stop_grace: Duration::from_secs(20),
        })
    }

    /// How to ask whether it is ready.
    pub fn probe(self, listen: SocketAddr) -> Probe {
        Probe::Grpc(listen, self.readiness())
    }
}

/// Starting a service in a test, as a child that can be killed.
#[derive(Debug)]
pub struct ServiceProcess;

impl ServiceProcess {
    /// Starts `service` with these settings (`DATABASE_URL`, `KAFKA_BROKERS`, …). Does not wait:
    /// [`Daemon::ready`] does. The daemon's calls kill it, end it and start it again.
    pub fn start(
        service: Service,
        listen: SocketAddr,
        log: &Path,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Daemon> {
        Daemon::start(service.program(listen, log, settings)?, service.probe(listen), beside("shop")?)
    }
}
