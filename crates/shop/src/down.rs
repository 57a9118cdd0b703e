//! `shop down`: ends everything that `shop up` started; data survive, unless `--wipe`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    closing,
    dir::ShopDir,
    lock,
    progress::Progress,
    state::{State, StateFile},
};

/// How to close.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Delete all data and logs too.
    #[arg(long)]
    wipe: bool,
}

/// Closes the shop.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    if !dir.path().is_dir() {
        anstream::println!("There is no shop here.");
        return Ok(());
    }
    let _lock = lock::take(&dir.lock())?;
    let (state, progress) = (StateFile::open(&dir)?, Progress::on_stderr());
    let strays = closing::end_strays(&state.get(), &dir).await?;
    let ended = strays + closing::close(&state, &progress, |_| true).await?;
    anstream::println!(
        "{}",
        if ended == 0 {
            "The shop was closed."
        } else {
            "The shop is closed."
        }
    );
    if options.wipe {
        wipe(&dir, &state.get())?;
    }
    Ok(())
}

fn wipe(dir: &ShopDir, state: &State) -> Result<()> {
    for folder in [dir.postgres(), dir.path().to_owned()] {
        remove(&folder)?;
    }
    anstream::println!("Its data and logs are deleted.");
    if state.given.database_url.is_some() {
        anstream::println!("The databases on the server of DATABASE_URL are still there.");
    }
    if state.given.kafka_brokers.is_some() {
        anstream::println!("The topics on the brokers of KAFKA_BROKERS are still there.");
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot delete {}", folder.display()))?;
    }
    Ok(())
}
