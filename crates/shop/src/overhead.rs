//! `shop overhead`: what tracing costs.
//!
//! Opens a shop of its own again and again: sending nothing, with a hundredth of its orders traced, with
//! all of them. Each time it is loaded alike, and its services are ended: the last that they say is
//! how many spans no collector has got. Turns begin with another one each, so that whatever else
//! the machine does meets all three; and how far the turns are apart says which difference is noise.
//!
//! What takes the spans shares the machine with the shop here, and elsewhere does not: its
//! processor time is shown apart. Not guaranteed: that it took nothing from the shop, which has less
//! of the processor left for orders.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use telemetry::semconv::metrics::SPANS_DROPPED;

use crate::{
    closing,
    customers::History,
    dir::ShopDir,
    drill::exports::Exports,
    load::{self, Demand, Report},
    lock,
    part::Part,
    progress::Progress,
    services::Service,
    state::{State, StateFile},
    up,
};

/// The figures, side by side.
mod table;

/// What `--help` says below the options.
const HELP: &str = "\
Opens the shop of the folder that `--dir` names, three times a turn, and closes it afterwards: without any \
telemetry, with a hundredth of the orders traced, with all of them. Prints of each the middle one of the \
turns, and the least and the most. The share of orders that were traced is counted in their rows. Fails if \
the books are wrong after any run.";

/// How the shop is opened in a turn.
const MODES: [Mode; 3] = [
    Mode { traced: None },
    Mode { traced: Some(0.01) },
    Mode { traced: Some(1.0) },
];

/// How to measure.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    #[command(flatten)]
    demand: Demand,
    /// How many turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    turns: u16,
    /// Write the figures of every run to this file, too.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// How much of a shop is traced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Mode {
    /// The share of orders; none: nothing is sent, no metrics and no log lines either.
    traced: Option<f64>,
}

/// One run, as it was.
#[derive(Debug, Serialize)]
struct Run {
    mode: Mode,
    /// Spans that no collector has got, by the services' own count, to their end; none of those that
    /// send nothing.
    spans_dropped: Option<u64>,
    load: Report,
}

/// Measures, and prints the figures; an error if the books are wrong.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let open = State::load(&dir)?.is_open();
    ensure!(!open, "the shop is open; `shop down` closes it");
    let bench = Bench {
        options: &options,
        dir: &dir,
        exports: Exports::open().await?,
    };
    let measured = stop.run_until_cancelled(bench.turns()).await;
    let closed = bench.close(|_| true).await;
    let runs = measured.context("interrupted; nothing was measured")??;
    closed?;
    anstream::println!("{}", table::Table::of(&runs, options.demand.seconds));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&runs)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

struct Bench<'a> {
    options: &'a Options,
    dir: &'a ShopDir,
    exports: Exports,
}

impl Bench<'_> {
    async fn turns(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for turn in 0..usize::from(self.options.turns) {
            // Whoever is first in a turn is last in another.
            let modes = MODES.iter().cycle().skip(turn % MODES.len());
            for mode in modes.take(MODES.len()) {
                runs.push(self.run(*mode).await?);
            }
        }
        Ok(runs)
    }

    async fn run(&self, mode: Mode) -> Result<Run> {
        // All earlier processes have ended: what they counted is final.
        let before = self.exports.meters().sum(SPANS_DROPPED.name).unwrap_or(0);
        let opened = up::Options::measured(mode.traced, &self.exports.endpoint);
        up::run(opened, self.dir.clone()).await?;
        let (load, books) = load::load(&self.options.demand, self.dir, History::default()).await?;
        if !books.findings.is_empty() {
            bail!("the promise is broken: {books}");
        }
        self.close(|part| Service::ALL.iter().any(|of| of.part() == part))
            .await?;
        let dropped = self.exports.meters().sum(SPANS_DROPPED.name);
        let spans_dropped = match mode.traced {
            None => None,
            Some(_) => {
                Some(dropped.context("no service has said how many spans it dropped")? - before)
            }
        };
        Ok(Run {
            mode,
            spans_dropped,
            load,
        })
    }

    async fn close(&self, which: impl Fn(Part) -> bool) -> Result<()> {
        if !self.dir.lock().exists() {
            return Ok(());
        }
        let _lock = lock::take(&self.dir.lock())?;
        let state = StateFile::open(self.dir)?;
        closing::end_strays(&state.get(), self.dir).await?;
        closing::close(&state, &Progress::on_stderr(), which)
            .await
            .map(drop)
    }
}
