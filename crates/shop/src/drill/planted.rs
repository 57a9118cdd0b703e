//! `shop drill planted`: is the checker any good?
//!
//! Problem: a drill may be green because nothing is wrong, or because it does not look.
//! Guarantee: each guard of the promise is taken out once, alone, and the drill that has to notice is
//! run against that shop. Where several guards stand behind each other, one of the others has to have
//! stopped it, by its own count; and with all of them out the drill has to be red, for the reason
//! that the table names. Each of these drills is run without a bug first, and has to be green.
//!
//! The bug is chosen by an environment variable, which the drill and all its services inherit. So a
//! bug can be looked at by hand: `COFFEESHOP_PLANTED=no-inbox target/planted/debug/shop drill run …`.

use std::{collections::BTreeMap, fs, path::Path};

use ::planted::POSSIBLE;
use anyhow::{Context as _, Result, bail, ensure};
use lifecycle::Stop;

use super::report::Report;
use crate::progress::Progress;

/// One drill with planted bugs, in a process of its own.
mod play;
/// Which drill has to notice what.
mod rows;
/// What was seen, against what had to be.
mod verdict;

use rows::{ROWS, Row};
use verdict::{Verdict, judged, said};

/// What to plant.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Options {
    /// Only these, as the table names them: `no-inbox+no-revision`
    #[arg(value_name = "BUGS")]
    bugs: Vec<String>,
    /// What every drill gets as its seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Plants and runs, and prints the table; an error if something went unnoticed.
pub(super) async fn run(options: &Options, dir: &Path) -> Result<()> {
    ensure!(
        POSSIBLE,
        "nothing can be planted in this build; `make planted` builds another"
    );
    let rows = wanted(&options.bugs)?;
    let folder = dir.join("planted");
    fs::create_dir_all(&folder)?;
    let mut run = Run {
        seed: options.seed,
        folder: &folder,
        stop: lifecycle::stop_on_signals()?,
        progress: Progress::on_stderr(),
        sound: BTreeMap::new(),
    };
    anstream::println!("| taken out | drill | verdict |\n|---|---|---|");
    let mut unnoticed = 0;
    for row in rows {
        run.sound(row.drill).await?;
        unnoticed += usize::from(!run.row(row).await?);
    }
    ensure!(
        unnoticed == 0,
        "{unnoticed} of the above did not go as they had to"
    );
    Ok(())
}

fn wanted(bugs: &[String]) -> Result<Vec<&'static Row>> {
    let all = || ROWS.iter();
    if let Some(unknown) = bugs
        .iter()
        .find(|bugs| all().all(|row| row.name() != **bugs))
    {
        bail!("the table has no row {unknown}");
    }
    let wanted = |row: &&Row| bugs.is_empty() || bugs.contains(&row.name());
    Ok(all().filter(wanted).collect())
}

/// A run of the table.
struct Run<'a> {
    seed: u64,
    folder: &'a Path,
    stop: Stop,
    progress: Progress,
    /// What each drill has shown of a shop without bugs.
    sound: BTreeMap<&'static str, Report>,
}

impl Run<'_> {
    /// Runs a drill without a bug, once.
    async fn sound(&mut self, drill: &'static str) -> Result<()> {
        if self.sound.contains_key(drill) {
            return Ok(());
        }
        let report = self.plays(drill, "").await?;
        let words = match report.passed() {
            true => "green".to_owned(),
            false => format!("**red**: {}", said(&report)),
        };
        anstream::println!("| nothing | `{drill}` | {words} |");
        self.sound.insert(drill, report);
        Ok(())
    }

    /// Runs a row, and says whether all went as it had to.
    async fn row(&self, row: &Row) -> Result<bool> {
        let (name, drill) = (row.name(), row.drill);
        let report = self.plays(drill, &name).await?;
        let sound = self.sound.get(drill).context("it was run before")?;
        let Verdict { noticed, words } = judged(row, &report, sound);
        anstream::println!("| `{name}` | `{drill}` | {words} |");
        Ok(noticed)
    }

    async fn plays(&self, drill: &str, bugs: &str) -> Result<Report> {
        let what = if bugs.is_empty() { "nothing" } else { bugs };
        let step = self.progress.step(format!("{drill} with {what} taken out"));
        let played = play::play(drill, bugs, self.seed, self.folder, &self.stop).await;
        let report = played.with_context(|| format!("{drill} with {what} taken out"))?;
        step.done(&format!("{drill} with {what} taken out"));
        Ok(report)
    }
}
