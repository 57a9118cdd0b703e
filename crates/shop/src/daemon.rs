//! A part of a shop that a test starts, kills, pauses and starts again.
//!
//! Guarantee: it runs behind a guard, so that it ends with the test process, however that ends.
//! A restart uses the same command line: same port, same data, same log.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    harness,
    probe::Probe,
    process::{Identity, Process, Program, log},
};

/// How long a start may take on a busy machine; `SHOP_PATIENCE` if that is longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what a killed process leaves behind may hold up the next.
const LEFTOVERS: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A guarded program and the way to tell that it is ready.
#[derive(Debug)]
pub struct Daemon {
    program: Program,
    probe: Probe,
    guard: PathBuf,
    process: Mutex<Process>,
}

impl Daemon {
    /// Starts the program behind the `shop` binary as its guard. Does not wait.
    pub fn start(program: Program, probe: Probe, guard: PathBuf) -> Result<Self> {
        let process = Mutex::new(program.spawn_guarded(&guard)?);
        Ok(Self {
            program,
            probe,
            guard,
            process,
        })
    }

    /// Waits until it is ready. An error quotes the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let identity = self.identity().await;
        let Program { part, log, .. } = &self.program;
        let patience = harness::patience().max(PATIENCE);
        let ready = self.probe.wait(|| identity.is_alive(), patience).await;
        ready.map_err(|error| anyhow!("{part} is not ready: {error:#}. This is {}", log::tail(log)))
    }

    /// SIGKILL; returns when it is gone.
    pub async fn kill9(&self) -> Result<()> {
        self.process.lock().await.kill9().await
    }

    /// Asks it to end in good order and returns its exit code. Too slow is an error.
    pub async fn terminate(&self) -> Result<i32> {
        self.process.lock().await.terminate().await
    }

    /// Starts it again, after ending it with SIGKILL if it still runs, and waits until it is ready.
    ///
    /// What a killed Postgres leaves behind, its processes, holds its shared memory for a moment
    /// longer: the next one says so and ends at once. That is tried again.
    pub async fn restart(&self) -> Result<()> {
        let deadline = Instant::now() + LEFTOVERS;
        loop {
            {
                let mut process = self.process.lock().await;
                process.kill9().await?;
                *process = self.program.spawn_guarded(&self.guard)?;
            }
            match self.ready().await {
                Err(_) if !self.identity().await.is_alive() && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                ready => return ready,
            }
        }
    }

    /// SIGSTOP: it keeps its connections and answers nobody.
    pub async fn pause(&self) -> Result<()> {
        self.identity().await.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub async fn resume(&self) -> Result<()> {
        self.identity().await.signal(Signal::SIGCONT)
    }

    /// Who it is now; another after a restart.
    pub async fn identity(&self) -> Identity {
        self.process.lock().await.identity()
    }

    /// Where it runs: a server's configuration and data.
    pub fn directory(&self) -> &std::path::Path {
        &self.program.directory
    }

    /// Its log file.
    pub fn log(&self) -> &std::path::Path {
        &self.program.log
    }
}
