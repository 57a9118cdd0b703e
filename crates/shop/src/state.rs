//! What runs where: `.shop/state.json`.
//!
//! Guarantee: the file is replaced whole, right after each start and each end, so that a launcher
//! killed with `kill -9` leaves a true account. What lies between a start and its line in the file
//! is found by its environment instead ([`State::strays`]).
//! The file holds passwords and is readable by its owner alone.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    dir::{self, ShopDir},
    part::Part,
    process::{self, Identity, write_private},
};

/// Each child of a launcher has this variable with the shop's folder.
pub const MARKER: &str = "COFFEESHOP_CHILD_OF";

/// A shop that is open, or was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)] // An older launcher knew less.
pub struct State {
    /// The launcher that stays in the foreground, if one does.
    pub launcher: Option<Identity>,
    /// Factor on brew times.
    pub brew_scale: f64,
    /// What runs, as far as is known.
    pub parts: BTreeMap<Part, Running>,
    /// The last address of each part; a part that comes back is expected there.
    pub addresses: BTreeMap<Part, SocketAddr>,
    /// How each service connects to its database.
    pub database_urls: BTreeMap<Part, String>,
    /// How the launcher connects to Postgres.
    pub postgres_url: String,
    /// `host:port` of Kafka.
    pub kafka_brokers: String,
    /// Servers that were given to us instead of our own.
    pub given: Given,
    /// Where the services send spans, metrics and logs.
    pub telemetry: Telemetry,
    /// The share of orders that is traced, if somebody said so.
    pub trace_ratio: Option<f64>,
    /// Where metrics go, if not where the rest does.
    pub metrics: Option<String>,
}

/// Where spans, metrics and logs go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Telemetry {
    /// To the shop's own receiver.
    #[default]
    Own,
    /// To this OTLP endpoint.
    Elsewhere(String),
    /// Nowhere.
    Off,
}

/// Servers that are not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// `DATABASE_URL`: a role that may create databases and roles.
    pub database_url: Option<String>,
    /// `KAFKA_BROKERS`.
    pub kafka_brokers: Option<String>,
}

/// A part that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Which process.
    pub identity: Identity,
    /// Its log file.
    pub log: PathBuf,
    /// What it was started with.
    pub build: Build,
}

/// What a service is started from; another build is another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Settings in its environment.
    pub settings: Vec<(String, String)>,
    /// When its binary was built.
    pub built: Option<SystemTime>,
}

impl State {
    /// Reads the file; a shop that was never open has an empty state.
    pub fn load(dir: &ShopDir) -> Result<Self> {
        let path = dir.state();
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is damaged; end the shop's processes and delete it",
                    path.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The process of a part, if it is alive.
    pub fn alive(&self, part: Part) -> Option<&Running> {
        self.parts
            .get(&part)
            .filter(|running| running.identity.is_alive())
    }

    /// How much is traced, for figures that depend on it.
    pub fn tracing(&self) -> String {
        match (&self.telemetry, self.trace_ratio) {
            (Telemetry::Off, _) => "no telemetry".to_owned(),
            (_, None) => "all traced".to_owned(),
            (_, Some(ratio)) => format!("{} % traced", 100.0 * ratio),
        }
    }

    /// True if any part is alive.
    pub fn is_open(&self) -> bool {
        Part::ALL.into_iter().any(|part| self.alive(part).is_some())
    }

    /// Children of launchers of this shop that nobody wrote down, or that are no longer recognized
    /// because the clock was set.
    pub fn strays(&self, dir: &ShopDir) -> Vec<Identity> {
        let known: Vec<u32> = Part::ALL
            .into_iter()
            .filter_map(|part| Some(self.alive(part)?.identity.pid))
            .collect();
        let mut marked = process::with_environment(MARKER, dir.path());
        marked.retain(|stray| !known.contains(&stray.pid));
        marked
    }
}

/// Where a service is: the one that is named, or this machine's. Who names one needs no clone.
pub(crate) fn url(named: Option<&str>, part: Part, dir: &dir::Options) -> Result<String> {
    if let Some(url) = named {
        return Ok(url.to_owned());
    }
    let state = State::load(&ShopDir::find(dir)?)?;
    let open = state.alive(part).and(state.addresses.get(&part));
    let address = open.with_context(|| {
        format!("{part} does not run; `make up` starts it, `shop status` shows it")
    })?;
    Ok(format!("http://{address}"))
}

/// The state on disk and in memory. Whoever writes holds the shop's lock.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

impl StateFile {
    /// Reads it.
    pub fn open(dir: &ShopDir) -> Result<Self> {
        Ok(Self {
            path: dir.state(),
            state: Mutex::new(State::load(dir)?),
        })
    }

    /// A copy of what is known now.
    pub fn get(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it, on disk too.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        write_private(&self.path, &serde_json::to_string_pretty(&*state)?)
    }
}
