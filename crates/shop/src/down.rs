//! `shop down`: ends everything that `shop up` started; data survive, unless `--wipe`.

use std::{fs, io::ErrorKind, path::Path};

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
    if !dir.lock().exists() {
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

/// Deletes what a shop makes, and nothing else: the folder may be one that holds other things.
fn wipe(dir: &ShopDir, state: &State) -> Result<()> {
    let own = [
        dir.postgres(),
        dir.path().join("postgres"),
        dir.kafka(),
        dir.spans(),
        dir.logs(),
        dir.state(),
        dir.lock(),
    ];
    for path in own {
        remove(&path)?;
    }
    match fs::remove_dir(dir.path()) {
        Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
            return Err(error).with_context(|| format!("cannot delete {}", dir.path().display()));
        }
        _ => anstream::println!("Its data and logs are deleted."),
    }
    if state.given.database_url.is_some() {
        anstream::println!("The databases on the server of DATABASE_URL are still there.");
    }
    if state.given.kafka_brokers.is_some() {
        anstream::println!("The topics on the brokers of KAFKA_BROKERS are still there.");
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.with_context(|| format!("cannot delete {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_a_shop_leaves_the_files_of_others() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let options = crate::dir::Options {
            dir: Some(folder.path().to_owned()),
        };
        let dir = ShopDir::find(&options)?;
        fs::create_dir_all(dir.logs())?;
        fs::write(dir.state(), "{}")?;
        fs::write(folder.path().join("photo"), "of a cat")?;
        wipe(&dir, &State::default())?;
        let left: Vec<_> = fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(folder.path().join("photo").exists());
        Ok(())
    }
}
