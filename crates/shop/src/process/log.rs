//! Log files of child processes: appended to across restarts, read from the end.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use anyhow::{Context as _, Result};

/// A longer file is put aside, as `….log.1`, when its program starts again.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 15;
/// Kafka has lines of a thousand characters.
const TAIL_WIDTH: usize = 200;

/// Opens a log for appending.
pub fn open(path: &Path) -> Result<File> {
    if fs::metadata(path).is_ok_and(|file| file.len() > MAX_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    let log = File::options().create(true).append(true).open(path);
    log.with_context(|| format!("cannot write the log {}", path.display()))
}

/// The last lines of a log, indented, under a line that names it.
pub fn tail(path: &Path) -> String {
    let text = end_of(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
    let quoted: String = last
        .map(|line| format!("\n  | {line:.TAIL_WIDTH$}"))
        .collect();
    format!("the end of {}:{quoted}", path.display())
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
