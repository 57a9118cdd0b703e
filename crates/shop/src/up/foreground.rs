//! Waiting in the foreground: a part that dies is reported, Ctrl-C closes the shop.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail};
use lifecycle::Stop;
use tokio::time::sleep;

use crate::{
    closing,
    dir::ShopDir,
    lock,
    part::Part,
    process::log,
    progress::Progress,
    state::{Running, State, StateFile},
};

type Parts = BTreeMap<Part, Running>;

const POLL: Duration = Duration::from_millis(500);

/// Returns when the shop is closed, from here or from elsewhere.
pub async fn watch(dir: &ShopDir, progress: &Progress, stop: &Stop) -> Result<()> {
    let mut known = State::load(dir)?.parts;
    loop {
        tokio::select! {
            () = stop.cancelled() => return close(dir, progress).await,
            () = sleep(POLL) => {}
        }
        let now = State::load(dir)?;
        if now.parts.is_empty() {
            progress.say("The shop was closed by `shop down`.");
            return Ok(());
        }
        // Whoever holds the lock is ending or mending the shop, and says so there.
        if known.values().any(|running| !running.identity.is_alive())
            && lock::take(&dir.lock()).is_err()
        {
            continue;
        }
        known = compare(&known, &now, progress);
        if known.is_empty() {
            bail!("no part of the shop is left running");
        }
    }
}

/// Says what died and what is back. Returns what is alive.
fn compare(known: &Parts, now: &State, progress: &Progress) -> Parts {
    let mut alive = Parts::new();
    for part in Part::ALL {
        let before = known
            .get(&part)
            .filter(|running| running.identity.is_alive());
        match (before.or(now.alive(part)), known.get(&part)) {
            (Some(running), was) => {
                if was.is_none_or(|was| was.identity != running.identity) {
                    progress.say(&format!("{part} is back (pid {}).", running.identity.pid));
                }
                alive.insert(part, running.clone());
            }
            (None, Some(dead)) => progress.say(&format!(
                "{part} (pid {}) ended; `shop up` in another terminal brings it back. This is {}",
                dead.identity.pid,
                log::tail(&dead.log),
            )),
            (None, None) => {}
        }
    }
    alive
}

async fn close(dir: &ShopDir, progress: &Progress) -> Result<()> {
    let _lock = lock::wait(&dir.lock()).await?;
    let state = StateFile::open(dir)?;
    closing::close(&state, progress, |_| true).await?;
    state.update(|state| state.launcher = None)?;
    progress.say("The shop is closed. Its data stay until `shop down --wipe`.");
    Ok(())
}
