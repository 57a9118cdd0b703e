//! Fetches the two servers that `deploy/local/pom.xml` pins, once per machine and user.
//!
//! Guarantee: the folder that is returned is complete. It is filled under another name and renamed
//! when Maven is done, under a lock that keeps a second fetch waiting. Its name holds a hash of the
//! pom, so that a new pom is a new folder and a known one costs nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::{dir::short_hash, lock, progress::Progress, tools};

/// Compiled in, so that a launcher never runs with another pom than the one it was built with.
const POM: &str = include_str!("../../../deploy/local/pom.xml");

/// The servers' packages on disk.
#[derive(Clone, Debug)]
pub struct Packages {
    /// The folder with all jar files.
    pub jars: PathBuf,
    /// Changes when the pom or the platform does.
    pub version: String,
}

/// The folder with all packages, fetched if need be.
pub async fn resolve(progress: &Progress) -> Result<Packages> {
    let platform = platform()?;
    let version = short_hash(format!("{platform}\n{POM}").as_bytes());
    let jars = cache()?.join(format!("servers-{version}"));
    if !jars.is_dir() {
        fetch(&jars, &platform, progress).await?;
    }
    Ok(Packages { jars, version })
}

async fn fetch(jars: &Path, platform: &str, progress: &Progress) -> Result<()> {
    let maven = tools::maven().await?;
    let step = progress.step("fetching Kafka and PostgreSQL with Maven (70 MB, once)");
    let cache = cache()?;
    let _lock = lock::wait(&cache.join("lock")).await?;
    if jars.is_dir() {
        return Ok(()); // Another launcher was faster.
    }
    // Whatever a killed fetch left behind: nobody else is at it, we hold the lock.
    let fresh = cache.join("partial");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir(&fresh)?;
    fs::write(fresh.join("pom.xml"), POM)?;
    run(&maven, &fresh, platform).await?;
    // Crash here: the next fetch starts afresh.
    fs::rename(&fresh, jars)?;
    step.done("Kafka and PostgreSQL are here");
    Ok(())
}

async fn run(maven: &Path, folder: &Path, platform: &str) -> Result<()> {
    let mut command = Command::new(maven);
    command.args(["--batch-mode", "--quiet", "dependency:copy-dependencies"]);
    command.args(["-DincludeScope=runtime", "-DoutputDirectory=."]);
    command.arg(format!("-Dpostgres.platform={platform}"));
    let output = command
        .current_dir(folder)
        .stdin(Stdio::null())
        // Out of the reach of Ctrl-C, so that we end it and say so.
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        bail!(
            "Maven could not fetch the servers ({}):\n{}",
            output.status,
            said.trim()
        );
    }
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir().context("HOME is not set")?.join(".cache"),
    };
    let cache = base.join("coffeeshop");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    Ok(cache)
}

/// The name of this machine in the names of the PostgreSQL packages.
fn platform() -> Result<String> {
    let system = match env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        other => bail!("there is no PostgreSQL package for {other}; set DATABASE_URL"),
    };
    let processor = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => bail!("there is no PostgreSQL package for {other}; set DATABASE_URL"),
    };
    Ok(format!("{system}-{processor}"))
}
