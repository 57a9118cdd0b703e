//! The three services as programs.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};

use crate::{binaries, daemon::Daemon, part::Part, probe::Probe, process::Program};

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The mocked payment provider.
    Payments,
    /// Makes drinks.
    Barista,
    /// Takes orders.
    Reception,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Payments, Self::Barista, Self::Reception];

    /// The part of the shop that it is.
    pub fn part(self) -> Part {
        match self {
            Self::Payments => Part::Payments,
            Self::Barista => Part::Barista,
            Self::Reception => Part::Reception,
        }
    }

    /// The name of its crate, binary, database and role.
    pub fn name(self) -> &'static str {
        self.part().name()
    }

    /// Where it listens unless told otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Reception => 50051,
            Self::Barista => 50052,
            Self::Payments => 50053,
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
        // The end of a log is shown to people; errors are words there. Panics keep their backtrace.
        env.push(("RUST_LIB_BACKTRACE".to_owned(), "0".to_owned()));
        Ok(Program {
            part: self.part(),
            path: binaries::service(self.name())?,
            args: Vec::new(),
            env,
            directory: log.parent().context("a log lies in no folder")?.to_owned(),
            log: log.to_owned(),
            account: None,
        })
    }

    /// How to ask whether it is ready.
    pub fn probe(self, listen: SocketAddr) -> Probe {
        let service = match self {
            Self::Reception => "coffeeshop.reception.v1.ReceptionService",
            Self::Barista => "coffeeshop.barista.v1.BaristaService",
            Self::Payments => "coffeeshop.payments.v1.PaymentsService",
        };
        Probe::Grpc(listen, service)
    }

    /// Starts it in a test, as a guarded child. Settings are environment variables:
    /// `DATABASE_URL`, `KAFKA_BROKERS`, `PAYMENTS_URL`, `BREW_SCALE`, … Does not wait:
    /// [`Daemon::ready`] does. The daemon's calls kill it, end it and start it again. Of another
    /// version, its binary lies in the folder `version`.
    pub fn start(
        self,
        listen: SocketAddr,
        log: &Path,
        settings: impl IntoIterator<Item = (String, String)>,
        version: Option<&Path>,
    ) -> Result<Daemon> {
        let mut program = self.program(listen, log, settings)?;
        if let Some(version) = version {
            program.path = version.join(self.name());
        }
        Daemon::start(program, self.probe(listen), binaries::shop()?)
    }
}
