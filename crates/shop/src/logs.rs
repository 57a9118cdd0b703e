//! `shop logs`: what a part of the shop says.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::{dir::ShopDir, part::Part};

const POLL: Duration = Duration::from_millis(200);

/// Which log.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Whose log.
    #[arg(value_name = "SERVICE")]
    part: Part,
    /// Go on showing what is added, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines to show first.
    #[arg(long, short = 'n', default_value_t = 100)]
    lines: usize,
}

/// Prints the end of the log, and goes on if asked to.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let path = dir.log(options.part.name());
    let file = File::open(&path).with_context(|| {
        format!(
            "{} has said nothing yet: no {}",
            options.part,
            path.display()
        )
    })?;
    let mut reader = BufReader::new(file);
    let shown = print_end(&mut reader, options.lines).and_then(|()| io::stdout().flush());
    if let Err(error) = shown {
        return broken_pipe_is_fine(error);
    }
    match options.follow {
        true => follow(reader, &path).await.or_else(broken_pipe_is_fine),
        false => Ok(()),
    }
}

fn print_end(reader: &mut BufReader<File>, count: usize) -> io::Result<()> {
    let mut last = VecDeque::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        last.push_back(std::mem::take(&mut line));
        if last.len() > count {
            last.pop_front();
        }
    }
    last.iter()
        .try_for_each(|line| io::stdout().write_all(line))
}

async fn follow(mut reader: BufReader<File>, path: &Path) -> io::Result<()> {
    loop {
        // Copies to the present end of the file; the next turn begins there.
        io::copy(&mut reader, &mut io::stdout())?;
        io::stdout().flush()?;
        sleep(POLL).await;
        if let Some(newer) = replaced(reader.get_ref(), path)? {
            io::copy(&mut reader, &mut io::stdout())?;
            reader = BufReader::new(newer);
        }
    }
}

/// The file that is at `path` now, if it is another: a long log was put aside.
fn replaced(open: &File, path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(now) if now.metadata()?.ino() != open.metadata()?.ino() => Ok(Some(now)),
        _ => Ok(None),
    }
}

/// `shop logs kafka | head` ends when it has seen enough.
fn broken_pipe_is_fine(error: io::Error) -> Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error.into()),
    }
}
