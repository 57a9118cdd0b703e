//! `shop drill`: breaks a whole shop for real, and lets the books judge.
//!
//! A drill opens a shop of its own, with a real Kafka and Postgres and services as child processes,
//! sends customers at a rate, breaks something, says what must hold meanwhile, heals it, waits until
//! nothing is in flight, and compares what customers were told with what was stored, made, charged
//! and published.
//!
//! Guarantee: the exit code is the verdict. A drill fails when the books are wrong, when something
//! did not hold, or when its fault was never met: a drill that cannot fail proves nothing. Ctrl-C
//! ends every process and deletes all data.
//!
//! ```text
//!  steady ──▶ break ──▶ what must hold ──▶ heal ──▶ drained ──▶ books ──▶ verdict
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{dir::ShopDir, progress::Progress};

/// The drills, a file each.
mod catalog;
/// Clocks that can be set.
mod clocks;
/// From opening to verdict.
mod conduct;
/// Customers who come at a rate.
mod crowd;
/// What the run has shown, in numbers.
mod figures;
/// What the services measure of themselves.
pub(crate) mod meters;
/// Faults, claims and bites, as they happened.
mod notes;
/// How a shop is opened for a drill.
mod opening;
/// The report as one page of HTML.
mod page;
/// The checker, checked.
mod planted;
/// All that is known after a drill, and the verdict.
mod report;
/// What a drill plays on.
mod scene;
/// A drill as a file.
mod script;
/// The table for people.
mod table;
/// What changes in the course of a run.
mod timeline;
/// What an onlooker sees, four times a second.
mod watching;

use report::Report;
use script::Drill;

/// What to drill.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Action {
    /// Name the drills, and what each is to show
    List {
        /// As a table in Markdown, with the figures of each drill's last run on this machine
        #[arg(long)]
        markdown: bool,
    },
    /// Run drills by their names
    Run {
        /// As `shop drill list` names them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Take each guard out, and see whether a drill notices; in a build that can: `make planted`
    Planted(planted::Options),
    /// Run all drills, one after the other
    All {
        #[command(flatten)]
        settings: Settings,
    },
}

/// How to run them.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Settings {
    /// Decides whatever is left to chance: what customers order, when and whom a fault hits
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// For how long customers come
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(crate) seconds: u64,
    /// How many come a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) rate: u32,
    /// libfaketime, for drills that set clocks [default: where Debian's package puts it]
    #[arg(long, env = "SHOP_FAKETIME", value_name = "PATH")]
    faketime: Option<PathBuf>,
    /// Write the figures to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the report to this file [default: drills/report.html in the shop's folder]
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
}

/// Does what the command line says; an error if a drill failed.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let folder = dir.path().join("drills");
    match options.action {
        Action::List { markdown: false } => table::list(),
        Action::List { markdown: true } => table::markdown(&folder)?,
        Action::Run { names, settings } => {
            let drills: Result<Vec<&Drill>> = names.iter().map(|name| find(name)).collect();
            run_each(&drills?, &settings, &folder).await?;
        }
        Action::Planted(options) => planted::run(&options, dir.path()).await?,
        Action::All { settings } => {
            let drills: Vec<&Drill> = catalog::DRILLS.iter().collect();
            run_each(&drills, &settings, &folder).await?;
        }
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Drill> {
    let drill = catalog::DRILLS.iter().find(|drill| drill.name == name);
    drill.with_context(|| format!("there is no drill {name}; `shop drill list` names them"))
}

async fn run_each(drills: &[&Drill], settings: &Settings, folder: &Path) -> Result<()> {
    let (stop, progress) = (lifecycle::stop_on_signals()?, Progress::on_stderr());
    let mut reports: Vec<Report> = Vec::new();
    for drill in drills {
        if let Err(lacking) = (drill.opening)().possible(settings) {
            progress.say(&format!("SKIPPED {}: {lacking:#}", drill.name));
            continue;
        }
        let conducted = conduct::conduct(drill, settings, folder, &stop, &progress).await?;
        let Some(report) = conducted else {
            bail!("interrupted; everything is healed and gone");
        };
        anstream::println!("{}", table::One(&report));
        reports.push(report);
        // What was shown so far outlives whatever comes next.
        publish(&reports, settings, folder)?;
    }
    if reports.len() > 1 {
        anstream::println!("{}", table::All(&reports));
    }
    let page = page_path(settings, folder);
    anstream::println!("The report is {}", page.display());
    let failed = reports.iter().filter(|report| !report.passed()).count();
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} drills failed", reports.len()),
    }
}

/// Writes the figures and the page.
fn publish(reports: &[Report], settings: &Settings, folder: &Path) -> Result<()> {
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &settings.json {
        write(path, serde_json::to_string_pretty(reports)?)?;
    }
    let page = page::Page(reports).to_string();
    write(&page_path(settings, folder), page)
}

fn page_path(settings: &Settings, folder: &Path) -> PathBuf {
    let own = || folder.join("report.html");
    settings.html.clone().unwrap_or_else(own)
}
