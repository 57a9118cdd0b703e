//! Clocks that can be set: libfaketime, preloaded into a service, reads the time from a file.
//!
//! Monotonic clocks go on as they are, as they do when somebody sets the clock of a machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::Settings;
use crate::services::Service;

/// Where Debian's package `libfaketime` puts it.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// The library; an error if there is none.
pub(super) fn library(settings: &Settings) -> Result<PathBuf> {
    let asked = settings.faketime.iter().cloned();
    let mut known = asked.chain(LIBRARIES.map(PathBuf::from));
    known
        .find(|library| library.is_file())
        .context("there is no libfaketime; `apt-get install libfaketime`, or use --faketime")
}

/// What a service is to be started with. Its clock is right until it is set.
pub(super) fn settings(
    service: Service,
    folder: &Path,
    settings: &Settings,
) -> Result<[(&'static str, String); 4]> {
    set(folder, service, "+0")?;
    let library = library(settings)?;
    Ok([
        ("LD_PRELOAD", library.display().to_string()),
        (
            "FAKETIME_TIMESTAMP_FILE",
            file(folder, service).display().to_string(),
        ),
        // How many seconds until it looks into the file again.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// Sets a clock: `+1h` is an hour ahead of the machine's.
pub(super) fn set(folder: &Path, service: Service, to: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    // A reader finds the one or the other, never half of it.
    let (file, fresh) = (file(folder, service), folder.join("clock.new"));
    fs::write(&fresh, to)?;
    fs::rename(&fresh, file).context("cannot set the clock")
}

fn file(folder: &Path, service: Service) -> PathBuf {
    folder.join(format!("clock-of-{}", service.name()))
}
