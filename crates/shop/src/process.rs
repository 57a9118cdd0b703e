//! Programs that run as child processes, each with its own log file and process group.
//!
//! Problem: whatever a shop starts must be found again after the launcher died, and must be killed
//! without ever hitting a stranger that got the same pid.
//! Guarantee: a process is known by pid *and* start time; a zombie counts as dead; stopping is a
//! signal, a bounded wait, then SIGKILL.
//! Not guaranteed: that what the program itself spawned ends with it, unless it sees to that.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::part::Part;

/// Children that die with the process that started them.
mod guarded;
/// Who a process is: pid and start time.
mod identity;
/// Log files: opened for appending, read from the end.
pub mod log;

pub use identity::{Identity, with_environment};

/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// The user a program runs as, if not the launcher's own.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A command line that can be started any number of times.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which part of the shop it is.
    pub part: Part,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables on top of the launcher's own.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Where stdout and stderr go.
    pub log: PathBuf,
    /// Whom it runs as.
    pub account: Option<Account>,
}

impl Program {
    /// Starts it so that it outlives this process.
    pub fn spawn(&self) -> Result<Process> {
        let output = log::open(&self.log)?;
        let mut command = self.command(&self.path);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(account) = self.account {
            // The standard library drops the supplementary groups of root too.
            command.uid(account.uid).gid(account.gid);
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        let pid = child.id();
        self.started(pid, child, None)
    }

    fn command(&self, executable: &Path) -> Command {
        let mut command = Command::new(executable);
        // Ctrl-C goes to the whole foreground group of a terminal; a group of its own leaves the
        // order of stopping to the launcher.
        command
            .process_group(0)
            .current_dir(&self.directory)
            .envs(self.env.iter().cloned());
        command
    }

    fn started(&self, pid: u32, child: Child, lifeline: Option<ChildStdin>) -> Result<Process> {
        let Some(identity) = Identity::of(pid) else {
            bail!("{} ended at once; {}", self.part, log::tail(&self.log));
        };
        Ok(Process {
            part: self.part,
            identity,
            child,
            _lifeline: lifeline,
        })
    }
}

/// A process started by this one. Dropping it leaves it running, unless it is guarded.
#[derive(Debug)]
pub struct Process {
    part: Part,
    identity: Identity,
    /// The process itself, or its guard, which ends with the same status.
    child: Child,
    /// A guard ends its child when the other end of this pipe closes.
    _lifeline: Option<ChildStdin>,
}

impl Process {
    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its exit code if it has ended, 128 + n if signal n ended it.
    ///
    /// Polls instead of awaiting SIGCHLD: tests hand one process from runtime to runtime, and
    /// `tokio::process` ties it to the first.
    pub fn exit_code(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(code))
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub async fn kill9(&mut self) -> Result<()> {
        self.identity.signal(Signal::SIGKILL)?;
        self.exited(Duration::from_secs(10))
            .await?
            .context("still there after SIGKILL")?;
        Ok(())
    }

    /// Asks it to end, waits for at most its grace, then kills it. Returns its exit code.
    pub async fn terminate(&mut self) -> Result<i32> {
        let grace = self.part.stop_grace();
        self.identity.signal(self.part.stop_signal())?;
        if let Some(code) = self.exited(grace).await? {
            return Ok(code);
        }
        self.kill9().await?;
        bail!("{} did not end within {grace:?} and was killed", self.part)
    }

    /// Waits for its exit code, for at most `patience`.
    pub async fn exited(&mut self, patience: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.exit_code()? {
                Some(code) => return Ok(Some(code)),
                None if Instant::now() >= deadline => return Ok(None),
                None => sleep(POLL).await,
            }
        }
    }
}

/// The exit code as a shell reports it.
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A file that only its owner can read, replaced whole or not at all.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let fresh = path.with_extension("new");
    if fresh.exists() {
        fs::remove_file(&fresh)?; // A launcher was killed here.
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Crash here: the old file is still whole.
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}
