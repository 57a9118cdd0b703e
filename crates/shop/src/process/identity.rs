//! Who a process is. A pid alone is reused sooner or later, on busy machines within hours.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::{errno::Errno, sys::signal, unistd::Pid};
use serde::{Deserialize, Serialize};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};
use tokio::time::{Instant, sleep};

use super::POLL;

/// Start times are computed from the boot time, which moves a little when the clock is adjusted.
const CLOCK_DRIFT_SECONDS: u64 = 2;

/// A process, told apart from all later ones with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Seconds since 1970.
    start_time: u64,
}

impl Identity {
    /// The process that has this pid now, even as a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        look(pid).map(|(start_time, _)| Self { pid, start_time })
    }

    /// This process.
    pub fn own() -> Result<Self> {
        Self::of(std::process::id()).context("this process cannot see itself; is /proc mounted?")
    }

    /// True while it runs. A zombie is dead: where nothing reaps orphans it stays for ever.
    pub fn is_alive(&self) -> bool {
        look(self.pid).is_some_and(|(start_time, zombie)| {
            !zombie && start_time.abs_diff(self.start_time) <= CLOCK_DRIFT_SECONDS
        })
    }

    /// Bytes of memory in use; 0 if it is gone.
    pub fn memory(&self) -> u64 {
        let pid = sysinfo::Pid::from_u32(self.pid);
        let mut system = System::new();
        let kind = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        system.process(pid).map_or(0, sysinfo::Process::memory)
    }

    /// Sends a signal; a process that is gone has no need of it.
    pub fn signal(&self, signal: signal::Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.pid)?);
        match signal::kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot send {signal} to {pid}")),
        }
    }

    /// Asks it to end, waits for at most `grace`, then kills it. True if it had to be killed.
    pub async fn stop(&self, signal: signal::Signal, grace: Duration) -> Result<bool> {
        self.signal(signal)?;
        if self.ended_within(grace).await {
            return Ok(false);
        }
        self.signal(signal::Signal::SIGKILL)?;
        if !self.ended_within(Duration::from_secs(10)).await {
            bail!("pid {} is still there after SIGKILL", self.pid);
        }
        Ok(true)
    }

    async fn ended_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }
}

fn look(pid: u32) -> Option<(u64, bool)> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    let process = system.process(pid)?;
    let zombie = matches!(
        process.status(),
        ProcessStatus::Zombie | ProcessStatus::Dead
    );
    Some((process.start_time(), zombie))
}

/// All living processes with this environment variable, without those whose parent has it too.
pub fn with_environment(name: &str, value: &Path) -> Vec<Identity> {
    let marker = format!("{name}={}", value.display());
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing()
        .without_tasks()
        .with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let marked = |process: &&sysinfo::Process| process.environ().iter().any(|e| *e == *marker);
    let heads = system
        .processes()
        .values()
        .filter(marked)
        .filter(|process| {
            let parent = process.parent().and_then(|pid| system.process(pid));
            !parent.is_some_and(|parent| marked(&parent))
        });
    heads
        .map(|process| Identity {
            pid: process.pid().as_u32(),
            start_time: process.start_time(),
        })
        .filter(Identity::is_alive)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sys::signal::Signal;

    use super::*;

    #[tokio::test]
    async fn a_stranger_with_the_same_pid_is_left_alone() {
        let mut child = Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep is everywhere");
        let child_now = Identity::of(child.id()).expect("it runs");
        let predecessor = Identity {
            start_time: child_now.start_time - 60,
            ..child_now
        };

        assert!(!predecessor.is_alive());
        predecessor
            .stop(Signal::SIGKILL, Duration::from_secs(1))
            .await
            .expect("nothing to do");
        assert!(child_now.is_alive());

        child_now.signal(Signal::SIGKILL).expect("it is ours");
        child.wait().expect("it is ours");
    }

    #[tokio::test]
    async fn a_zombie_is_dead() {
        let mut child = Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep is everywhere");
        let identity = Identity::of(child.id()).expect("it runs");

        // Nobody reaps it until `wait` below.
        let killed = identity
            .stop(Signal::SIGKILL, Duration::from_secs(10))
            .await;

        assert!(!killed.expect("it is ours"));
        assert!(Identity::of(child.id()).is_some_and(|zombie| !zombie.is_alive()));
        child.wait().expect("it is ours");
    }
}
