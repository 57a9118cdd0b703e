//! The parts of a shop on one machine.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A process of the shop, in the order in which they are opened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The databases of all services.
    Postgres,
    /// The log between the services.
    Kafka,
    /// What takes their spans, for `shop trace`.
    Telemetry,
    /// The mocked payment provider.
    Payments,
    /// Makes drinks.
    Barista,
    /// Takes orders.
    Reception,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Postgres,
        Self::Kafka,
        Self::Telemetry,
        Self::Payments,
        Self::Barista,
        Self::Reception,
    ];

    /// What people call it; also the stem of its log file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Telemetry => "telemetry",
            Self::Payments => "payments",
            Self::Barista => "barista",
            Self::Reception => "reception",
        }
    }

    /// What asks it to end in good order.
    pub fn stop_signal(self) -> Signal {
        match self {
            // "Fast"; SIGTERM is "smart" and waits until the last client has left by itself.
            Self::Postgres => Signal::SIGINT,
            _ => Signal::SIGTERM,
        }
    }

    /// How long it may take to do so. A service's own bounds (drain, flush) are shorter.
    pub fn stop_grace(self) -> Duration {
        Duration::from_secs(20)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
