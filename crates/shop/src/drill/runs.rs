//! Drills, one after the other, each with every seed.
//!
//! Guarantee: one that is red, or cannot be run at all, takes nobody's turn. What was shown so far is
//! on disk before the next one begins.
//! Not kept: more than one run of each drill, the first that failed or else the last one. Of the
//! others there are the seeds.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lifecycle::Stop;

use super::{Settings, catalog, conduct, page, report::Report, script::Drill, table};
use crate::progress::Progress;

/// Runs that were made, and those to come.
pub(super) struct Runs<'a> {
    settings: &'a Settings,
    folder: &'a Path,
    stop: Stop,
    progress: Progress,
    began: Instant,
    /// One of each drill.
    reports: Vec<Report>,
    skipped: Vec<String>,
    done: usize,
    failed: usize,
}

/// Runs each of these, with so many seeds; an error if one failed.
pub(super) async fn run_each(
    drills: &[&Drill],
    seeds: u64,
    settings: &Settings,
    folder: &Path,
) -> Result<()> {
    let mut runs = Runs {
        settings,
        folder,
        stop: lifecycle::stop_on_signals()?,
        progress: Progress::on_stderr(),
        began: Instant::now(),
        reports: Vec::new(),
        skipped: Vec::new(),
        done: 0,
        failed: 0,
    };
    let possible = runs.possible(drills);
    let seeds = settings.seed..settings.seed.saturating_add(seeds);
    let all = seeds.flat_map(|seed| possible.iter().map(move |drill| (*drill, seed)));
    let all: Vec<(&Drill, u64)> = all.collect();
    for (nth, (drill, seed)) in (1..).zip(&all) {
        let (name, so_far) = (drill.name, Minutes(runs.began.elapsed()));
        let text = format!(
            "{nth} of {}: {name}, seed {seed} ({so_far} so far)",
            all.len()
        );
        runs.progress.say(&text);
        runs.run(drill, *seed).await?;
    }
    runs.end()
}

impl Runs<'_> {
    /// Those that can be had on this machine.
    fn possible<'a>(&mut self, drills: &[&'a Drill]) -> Vec<&'a Drill> {
        let mut possible = Vec::new();
        for drill in drills {
            match (drill.opening)().possible(self.settings) {
                Ok(()) => possible.push(*drill),
                Err(lacking) => {
                    let skipped = format!("SKIPPED {}: {lacking:#}", drill.name);
                    self.progress.say(&skipped);
                    self.skipped.push(skipped);
                }
            }
        }
        possible
    }

    async fn run(&mut self, drill: &Drill, seed: u64) -> Result<()> {
        let settings = Settings {
            seed,
            ..self.settings.clone()
        };
        let conducted = conduct::conduct(drill, &settings, self.folder, &self.stop, &self.progress);
        let report = match conducted.await {
            Ok(Some(report)) => report,
            Ok(None) => bail!("interrupted; everything is healed and gone"),
            Err(error) => Report::not_run(drill, &settings, &error),
        };
        anstream::println!("{}", table::One(&report));
        self.add(report);
        publish(&self.reports, self.settings, self.folder)
    }

    fn add(&mut self, mut report: Report) {
        self.done += 1;
        self.failed += usize::from(!report.passed());
        let known = self.reports.iter_mut().find(|r| r.drill == report.drill);
        match known {
            None => {
                report.seeds.add(report.seed, report.passed());
                self.reports.push(report);
            }
            Some(known) => {
                known.seeds.add(report.seed, report.passed());
                if known.passed() {
                    report.seeds = known.seeds.clone();
                    *known = report;
                }
            }
        }
    }

    fn end(self) -> Result<()> {
        if self.done > 1 {
            anstream::println!("{}", table::All(&self.reports));
        }
        for skipped in &self.skipped {
            anstream::println!("{skipped}");
        }
        let (runs, failed, took) = (self.done, self.failed, Minutes(self.began.elapsed()));
        let skipped = self.skipped.len();
        anstream::println!("{runs} runs, {failed} failed, {skipped} skipped, in {took}");
        let page = page_path(self.settings, self.folder);
        let table = table_path(self.folder);
        anstream::println!("The report is {}", page.display());
        anstream::println!("The table for docs is {}", table.display());
        ensure!(runs > 0, "nothing was run");
        match failed {
            0 => Ok(()),
            _ => bail!("{failed} of {runs} runs failed"),
        }
    }
}

/// What is on disk of the last run of each drill. What another version has left says nothing here.
pub(super) fn last(folder: &Path) -> Vec<Report> {
    let reports = catalog::DRILLS.iter().filter_map(|drill| {
        let text = fs::read_to_string(folder.join(drill.name).join("report.json"));
        serde_json::from_str(&text.ok()?).ok()
    });
    reports.collect()
}

/// Writes the figures, the page, and the table in Markdown.
fn publish(reports: &[Report], settings: &Settings, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &settings.json {
        write(path, serde_json::to_string_pretty(reports)?)?;
    }
    write(&table_path(folder), table::markdown(reports))?;
    write(
        &page_path(settings, folder),
        page::Page(reports).to_string(),
    )
}

fn page_path(settings: &Settings, folder: &Path) -> PathBuf {
    let own = || folder.join("report.html");
    settings.html.clone().unwrap_or_else(own)
}

fn table_path(folder: &Path) -> PathBuf {
    folder.join("table.md")
}

/// Minutes and seconds.
struct Minutes(Duration);

impl std::fmt::Display for Minutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{} min {:02} s", seconds / 60, seconds % 60)
    }
}
