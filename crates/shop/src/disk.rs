//! A disk that is small enough to be filled: a file system in memory, mounted where data are to lie.
//!
//! Guarantee: it is unmounted when it is dropped; `shop guard --unmount` does it for a process that
//! was killed. Needs root on Linux.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};

/// What fills it.
const BALLAST: &str = "ballast";
/// The larger pieces first, the smaller ones into what they leave.
const PIECES: [usize; 2] = [1 << 20, 1 << 12];

/// A mounted file system.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts an empty one on a folder.
    pub fn mount(folder: &Path, megabytes: u32) -> Result<Self> {
        let size = format!("size={megabytes}m,mode=0711");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "coffeeshop"]);
        say(mount.arg(folder).output(), "mount")?;
        Ok(Self(folder.to_owned()))
    }

    /// Whether one can be mounted here; the error says why not.
    pub fn try_out() -> Result<()> {
        let folder = tempfile::tempdir()?;
        Self::mount(folder.path(), 1).map(drop)
    }

    /// Fills it to the last block.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.0.join(BALLAST))?;
        for piece in PIECES {
            let piece = vec![0; piece];
            loop {
                match ballast.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("cannot fill the disk"),
                }
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn clear(&self) -> Result<()> {
        std::fs::remove_file(self.0.join(BALLAST)).context("cannot clear the disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If it fails, the folder it is in cannot be deleted, which says so.
        let _ = unmount(&self.0);
    }
}

/// Unmounts what is mounted there, also if somebody still has a file of it open.
pub(crate) fn unmount(folder: &Path) -> Result<()> {
    say(
        Command::new("umount").arg("-l").arg(folder).output(),
        "umount",
    )
}

fn say(output: std::io::Result<Output>, program: &str) -> Result<()> {
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", said.trim());
    Ok(())
}
