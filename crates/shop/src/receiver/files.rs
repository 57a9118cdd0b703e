//! Spans in a few files, the oldest deleted: what `shop trace` reads.
//!
//! Guarantee: they hold at most `KEEP` files of about `FILE_BYTES` and one that begins, and what
//! waits to be written is bounded, too. A disk that is full or stuck costs the spans that come
//! meanwhile, never memory; what was written before stays, and readable, whatever was cut off at a
//! crash.
//! Not guaranteed: that a span is there. It is written behind the exporter's back, without fsync.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;
use tokio::sync::mpsc;

use super::Sink;

/// How many files are kept.
const KEEP: usize = 8;
/// A longer file is followed by another.
const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Exports that may wait for the disk; more are dropped.
const WAITING: usize = 32;

const STEM: &str = "spans-";

/// Takes spans, and lets go of the rest: the services' logs are in files anyway.
pub struct Files {
    queue: mpsc::Sender<ExportTraceServiceRequest>,
    dropped: AtomicU64,
}

impl Files {
    /// Where exports go in, and what writes them: it ends when the sink is dropped.
    pub fn open(folder: &Path) -> Result<(Self, Writer)> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (queue, exports) = mpsc::channel(WAITING);
        let writer = Writer {
            folder: folder.to_owned(),
            exports,
            file: None,
            failing: false,
        };
        let dropped = AtomicU64::default();
        Ok((Self { queue, dropped }, writer))
    }
}

impl Sink for Files {
    fn spans(&self, export: ExportTraceServiceRequest) {
        if self.queue.try_send(export).is_err() {
            let dropped = 1 + self.dropped.fetch_add(1, Ordering::Relaxed);
            if dropped.is_power_of_two() {
                say(&format!("the disk is too slow: {dropped} exports dropped"));
            }
        }
    }

    fn metrics(&self, _: ExportMetricsServiceRequest) {}

    fn logs(&self, _: ExportLogsServiceRequest) {}
}

/// Writes, on a thread of its own.
pub struct Writer {
    folder: PathBuf,
    exports: mpsc::Receiver<ExportTraceServiceRequest>,
    file: Option<Open>,
    failing: bool,
}

/// The file that is written.
struct Open {
    path: PathBuf,
    out: BufWriter<File>,
    /// Of the exports that are whole.
    size: u64,
}

impl Writer {
    /// Runs until the sink is dropped. Blocks.
    pub fn run(mut self) {
        while let Some(export) = self.exports.blocking_recv() {
            self.take(&export);
        }
    }

    fn take(&mut self, export: &ExportTraceServiceRequest) {
        let written = self.write(export);
        if let Err(error) = &written {
            // What is half written ends its file: nothing behind it could be read.
            if let Some(file) = self.file.take().filter(|file| file.size == 0) {
                // Nothing in it is whole, and it would be one of those that are kept.
                let _ = fs::remove_file(file.path);
            }
            if !self.failing {
                say(&format!("spans cannot be written: {error}"));
            }
        }
        self.failing = written.is_err();
    }

    fn write(&mut self, export: &ExportTraceServiceRequest) -> io::Result<()> {
        let file = match self.file.take().filter(|file| file.size < FILE_BYTES) {
            Some(file) => file,
            None => next_file(&self.folder)?,
        };
        let file = self.file.insert(file);
        let bytes = export.encode_length_delimited_to_vec();
        file.out.write_all(&bytes)?;
        let first = file.size == 0;
        // Whoever looks wants to see what just happened.
        if first || self.exports.is_empty() {
            file.out.flush()?;
        }
        file.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match first {
            // Not before: a disk that takes nothing must not cost what it holds.
            true => make_room(&self.folder),
            false => Ok(()),
        }
    }
}

fn make_room(folder: &Path) -> io::Result<()> {
    let files = numbered(folder)?;
    let too_many = files.len().saturating_sub(KEEP);
    files.values().take(too_many).try_for_each(fs::remove_file)
}

fn next_file(folder: &Path) -> io::Result<Open> {
    // Where old ones cannot be deleted, new ones would add up.
    make_room(folder)?;
    let last = numbered(folder)?.into_keys().next_back();
    let number = last.map_or(1, |last| last + 1);
    let path = folder.join(format!("{STEM}{number:08}.otlp"));
    let file = File::options().append(true).create_new(true).open(&path)?;
    Ok(Open {
        path,
        out: BufWriter::new(file),
        size: 0,
    })
}

fn numbered(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let number = |path: &Path| -> Option<u64> {
        path.file_stem()?.to_str()?.strip_prefix(STEM)?.parse().ok()
    };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        files.extend(number(&path).map(|number| (number, path)));
    }
    Ok(files)
}

/// Hands every export that is kept to `look`, the oldest first.
pub fn read(folder: &Path, mut look: impl FnMut(ExportTraceServiceRequest)) -> Result<()> {
    let files = match numbered(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(format!("cannot read {}", folder.display())),
    };
    for path in files.into_values() {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // The receiver just deleted it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let mut rest = &bytes[..];
        // What does not decode was cut off by a crash, or is being written.
        while let Ok(export) = ExportTraceServiceRequest::decode_length_delimited(&mut rest) {
            look(export);
        }
    }
    Ok(())
}

/// Into the part's log. That may lie on a full disk: `eprintln!` would panic.
pub(super) fn say(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}

#[cfg(test)]
mod tests;
