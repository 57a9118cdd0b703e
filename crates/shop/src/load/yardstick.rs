//! pgbench: one row per transaction, as many clients, fsync on. What this machine's Postgres can do
//! when nobody brews coffee.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::progress::Progress;

/// For how long.
const SECONDS: u32 = 10;

/// More connections than that gain nothing, and the server has 100 for all.
pub(super) const MOST_CLIENTS: u32 = 64;

/// Transactions a second.
pub(super) async fn run(
    pgbench: &Path,
    url: &str,
    clients: u32,
    progress: &Progress,
) -> Result<f64> {
    let step = progress.step(format!("pgbench for {SECONDS} s with {clients} clients"));
    let mut conn = PgConnection::connect(url)
        .await
        .context("cannot reach Postgres")?;
    sqlx::query("drop table if exists yardstick")
        .execute(&mut conn)
        .await?;
    sqlx::query(
        "create table yardstick (id uuid primary key default gen_random_uuid(), note text not null)",
    )
    .execute(&mut conn)
    .await?;
    let script = NamedTempFile::new()?;
    std::fs::write(
        script.path(),
        "insert into yardstick (note) values ('one latte, to go');\n",
    )?;
    let output = Command::new(pgbench)
        .args(["--no-vacuum", "--jobs=2", "--protocol=prepared"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={SECONDS}"))
        .arg("--file")
        .arg(script.path())
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", pgbench.display()))?;
    sqlx::query("drop table yardstick")
        .execute(&mut conn)
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {complaints}");
    let tps = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    step.done("pgbench");
    tps.with_context(|| format!("pgbench said no tps: {said}"))
}
