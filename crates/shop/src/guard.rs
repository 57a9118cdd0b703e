//! `shop guard -- CMD…`: a child that dies with its parent.
//!
//! Problem: a test process that is killed leaves its servers behind, and nothing in it can run then.
//! Guarantee: when this process's stdin reaches its end (the parent is gone, however it went), CMD
//! gets a signal, then SIGKILL, and the folders given by `--remove` are deleted.
//! Not guaranteed: anything when the guard itself gets SIGKILL.
//!
//! The first line on stdout is CMD's pid; the exit code is CMD's. CMD writes to the guard's stderr.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lifecycle::Stop;
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{disk, process::code};

/// How long CMD may take to end after the parent is gone.
const GRACE: Duration = Duration::from_secs(5);
/// How long other guards' children may still be writing into a folder that is to be deleted.
const REMOVE_PATIENCE: Duration = Duration::from_secs(20);

/// What to guard.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// A folder to delete once the parent is gone.
    #[arg(long, value_name = "DIR")]
    remove: Vec<PathBuf>,
    /// A folder to unmount before that.
    #[arg(long, value_name = "DIR")]
    unmount: Vec<PathBuf>,
    /// The user CMD runs as.
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// The group CMD runs as.
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// What asks CMD to end.
    #[arg(long, default_value = "SIGTERM")]
    stop_signal: Signal,
    /// The program and its arguments; without one there is only `--remove` to do.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs until CMD has ended or the parent is gone, and ends this process with CMD's exit code.
pub async fn run(options: Options) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let exit_code = guard(&options, &stop).await?;
    std::process::exit(exit_code)
}

async fn guard(options: &Options, stop: &Stop) -> Result<i32> {
    if options.command.is_empty() {
        parent_gone(stop).await;
        return clean(options, 0).await;
    }
    let mut child = spawn(options)?;
    let pid = child.id().context("the child has no pid")?;
    println!("{pid}");
    io::stdout().flush()?;
    tokio::select! {
        status = child.wait() => return Ok(code(status?)),
        () = parent_gone(stop) => {}
    }
    let exit_code = end(&mut child, options.stop_signal).await?;
    clean(options, exit_code).await
}

fn spawn(options: &Options) -> Result<Child> {
    let (program, args) = options.command.split_first().context("nothing to run")?;
    let log = io::stderr().as_fd().try_clone_to_owned()?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(log);
    if let (Some(uid), Some(gid)) = (options.uid, options.gid) {
        command.uid(uid).gid(gid);
    }
    command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Returns at the end of stdin; SIGTERM and SIGINT count as well.
async fn parent_gone(stop: &Stop) {
    // Nobody writes to us. An error means the same as the end: the parent is gone.
    let end = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0]));
    tokio::select! {
        _ = end => {}
        () = stop.cancelled() => {}
    }
}

async fn end(child: &mut Child, signal: Signal) -> Result<i32> {
    if let Some(pid) = child.id() {
        // Not reaped yet, so the pid is still its own.
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
    }
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return Ok(code(status?));
    }
    child.kill().await?;
    Ok(code(child.wait().await?))
}

async fn clean(options: &Options, exit_code: i32) -> Result<i32> {
    for folder in &options.unmount {
        // Most often its owner has done it, and there is nothing to unmount.
        let _ = disk::unmount(folder);
    }
    for folder in &options.remove {
        remove(folder).await;
    }
    Ok(exit_code)
}

async fn remove(folder: &Path) {
    let deadline = Instant::now() + REMOVE_PATIENCE;
    while fs::remove_dir_all(folder).is_err() && folder.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(200)).await;
    }
}
