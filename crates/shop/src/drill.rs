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

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::dir::{self, ShopDir};

/// The drills, a file each.
mod catalog;
/// Clocks that can be set.
mod clocks;
/// From opening to verdict.
mod conduct;
/// Customers who come at a rate.
mod crowd;
/// Where services send what they export.
pub(crate) mod exports;
/// What the run has shown, in numbers.
mod figures;
/// What the services measure of themselves.
mod meters;
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
/// Drills, one after the other.
mod runs;
/// What a drill plays on.
mod scene;
/// A drill as a file.
mod script;
/// What services trace of orders.
mod spans;
/// The table for people.
mod table;
/// What changes in the course of a run.
mod timeline;
/// What became of orders, as their traces tell.
mod traced;
/// What an onlooker sees, four times a second.
mod watching;

use runs::run_each;
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
    /// Run all drills, one after the other: the long run
    All {
        /// With how many seeds each, from `--seed` on
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
        #[command(flatten)]
        settings: Settings,
    },
    /// Run the few that CI runs: Kafka, Postgres, the provider and a service break, one each
    Smoke {
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
    if !matches!(options.action, Action::List { .. }) {
        inside_a_clone()?;
    }
    match options.action {
        Action::List { markdown: false } => table::list(),
        Action::List { markdown: true } => {
            anstream::print!("{}", table::markdown(&runs::last(&folder)));
        }
        Action::Run { names, settings } => {
            let drills: Result<Vec<&Drill>> = names.iter().map(|name| find(name)).collect();
            run_each(&drills?, 1, &settings, &folder).await?;
        }
        Action::Planted(options) => planted::run(&options, dir.path()).await?,
        Action::All { seeds, settings } => {
            let drills: Vec<&Drill> = catalog::DRILLS.iter().collect();
            run_each(&drills, seeds, &settings, &folder).await?;
        }
        Action::Smoke { settings } => run_each(&catalog::SMOKE, 1, &settings, &folder).await?,
    }
    Ok(())
}

/// Postgres is unpacked once for all drills and tests, in the clone's own folder.
fn inside_a_clone() -> Result<()> {
    let clone = ShopDir::find(&dir::Options::default());
    ensure!(
        clone.is_ok(),
        "this is no folder of a clone of the shop; drills run inside one, whatever --dir says"
    );
    Ok(())
}

fn find(name: &str) -> Result<&'static Drill> {
    let drill = catalog::DRILLS.iter().find(|drill| drill.name == name);
    drill.with_context(|| format!("there is no drill {name}; `shop drill list` names them"))
}
