//! Lock files between processes. The kernel gives a lock back when its holder dies, however.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

const POLL: Duration = Duration::from_millis(50);

/// Held until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits for the lock.
pub async fn wait(path: &Path) -> Result<Lock> {
    let file = open(path)?;
    // Polled, because a thread inside lock() could not be interrupted by Ctrl-C.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => sleep(POLL).await,
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock"),
        }
    }
}

/// Takes the lock, or says who holds it.
pub fn take(path: &Path) -> Result<Lock> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another shop command is starting or ending this shop (pid {}); wait for it, or end it",
            fs::read_to_string(path).unwrap_or_default().trim(),
        ),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the shop"),
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(Lock(file))
}

fn open(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .read(true)
        .append(true)
        .open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}
