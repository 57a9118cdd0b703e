//! One drill with planted bugs, in a process of its own: the choice is read once.

use std::{env, fs, path::Path, process::Stdio};

use ::planted::VARIABLE;
use anyhow::{Context as _, Result, bail};
use lifecycle::Stop;
use tokio::process::Command;

use crate::{drill::report::Report, process::log};

/// Some two dozen drills are run: long enough for each bug to show, and no longer.
const SECONDS: &str = "12";
const RATE: &str = "8";

/// Runs it. Its exit code is not asked: its report says more.
pub(super) async fn play(
    drill: &str,
    bugs: &str,
    seed: u64,
    folder: &Path,
    stop: &Stop,
) -> Result<Report> {
    let (file, said) = (folder.join("report.json"), folder.join("stderr.log"));
    if file.exists() {
        fs::remove_file(&file)?;
    }
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("--dir")
        .arg(folder)
        .args(["drill", "run", drill, "--seed", &seed.to_string()])
        .args(["--seconds", SECONDS, "--rate", RATE, "--json"])
        .arg(&file)
        .env(VARIABLE, bugs)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said)?);
    // Ctrl-C reaches the drill, too, and it cleans up before it ends.
    let ended = command.status().await?;
    if stop.is_cancelled() {
        bail!("interrupted; everything is healed and gone");
    }
    let Ok(told) = fs::read_to_string(&file) else {
        bail!("it left no report ({ended}); {}", log::tail(&said));
    };
    let reports: Vec<Report> = serde_json::from_str(&told)?;
    reports.into_iter().next().context("the report is empty")
}
