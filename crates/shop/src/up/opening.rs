//! The steps of opening, and the account of what was started on the way.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{Options, servers, services, telemetry};
use crate::{
    closing,
    dir::ShopDir,
    part::Part,
    ports,
    probe::Probe,
    process::{Program, log},
    progress::{Progress, Step},
    state::{Build, MARKER, Running, StateFile},
};

/// How long a part may take to get ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run of `shop up`.
pub struct Opening<'a> {
    pub options: &'a Options,
    pub dir: &'a ShopDir,
    pub state: &'a StateFile,
    pub progress: &'a Progress,
    started: Mutex<Vec<Part>>,
}

impl<'a> Opening<'a> {
    pub fn new(
        options: &'a Options,
        dir: &'a ShopDir,
        state: &'a StateFile,
        progress: &'a Progress,
    ) -> Result<Self> {
        let fresh = !state.get().is_open();
        state.update(|state| {
            state.given = options.given();
            state.brew_scale = match options.brew_scale {
                Some(scale) => scale,
                None if fresh => 1.0,
                None => state.brew_scale,
            };
            options.telemetry.decide(state, fresh);
        })?;
        Ok(Self {
            options,
            dir,
            state,
            progress,
            started: Mutex::default(),
        })
    }

    /// Opens part after part. May be dropped at any await: what was started is in the account.
    pub async fn run(&self) -> Result<()> {
        // Whatever can be known to fail is tried before anything is started.
        let plans = services::plan(self)?;
        tokio::try_join!(servers::open(self), telemetry::open(self))?;
        services::open(self, &plans).await
    }

    /// What this run has started.
    pub fn started(&self) -> Vec<Part> {
        self.started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where a part of ours listens: where it did the last time, if that is still free.
    pub fn address(&self, part: Part) -> Result<SocketAddr> {
        let state = self.state.get();
        match state.addresses.get(&part) {
            Some(address) if state.alive(part).is_some() => Ok(*address),
            Some(address) if ports::is_free(address.port()) => Ok(*address),
            _ => Ok(ports::loopback(ports::free()?)),
        }
    }

    /// Starts a part and writes that down. Does not wait.
    pub fn start(&self, mut program: Program, address: SocketAddr, build: Build) -> Result<()> {
        let part = program.part;
        program
            .env
            .push((MARKER.to_owned(), self.dir.path().display().to_string()));
        let identity = program.spawn()?.identity();
        // Crash here: the next launcher finds the process by its environment.
        self.started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(part);
        self.state.update(|state| {
            state.addresses.insert(part, address);
            state.parts.insert(
                part,
                Running {
                    identity,
                    log: program.log,
                    build,
                },
            );
        })
    }

    /// Ends a part that has to be started differently.
    pub async fn end(&self, part: Part, why: &str) -> Result<()> {
        self.progress
            .say(&format!("{part} is started again: {why}"));
        closing::end(self.state, self.progress, part)
            .await
            .map(drop)
    }

    /// Waits until a part is ready; an error quotes the end of its log.
    pub async fn ready(&self, part: Part, probe: &Probe, step: Step) -> Result<()> {
        let running = self.state.get().parts.remove(&part);
        let running = running.with_context(|| format!("{part} was not started"))?;
        if let Err(error) = probe.wait(|| running.identity.is_alive(), PATIENCE).await {
            bail!(
                "{part} is not ready: {error:#}. This is {}",
                log::tail(&running.log)
            );
        }
        let was_started = self.started().contains(&part);
        step.done(&format!(
            "{part} {}",
            if was_started {
                "is ready"
            } else {
                "runs already"
            }
        ));
        Ok(())
    }
}
