//! Ending what runs, in an order in which nobody loses what it talks to.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use nix::sys::signal::Signal;

use crate::{
    dir::ShopDir,
    part::Part,
    progress::Progress,
    state::{State, StateFile},
};

/// Services first, then what they use: the last spans come when they end.
const ORDER: [&[Part]; 3] = [
    &[Part::Reception, Part::Barista, Part::Payments],
    &[Part::Kafka, Part::Telemetry],
    &[Part::Postgres],
];

/// Ends those parts of the shop that `which` names. Returns how many there were.
pub async fn close(
    state: &StateFile,
    progress: &Progress,
    which: impl Fn(Part) -> bool,
) -> Result<usize> {
    let mut ended = 0;
    for together in ORDER {
        let parts = together.iter().copied().filter(|part| which(*part));
        let results = try_join_all(parts.map(|part| end(state, progress, part))).await?;
        ended += results.into_iter().filter(|was_alive| *was_alive).count();
    }
    Ok(ended)
}

/// Ends one part; false if it had ended before.
pub async fn end(state: &StateFile, progress: &Progress, part: Part) -> Result<bool> {
    let alive = state.get().alive(part).map(|running| running.identity);
    if let Some(identity) = alive {
        let step = progress.step(format!("ending {part}"));
        let killed = identity.stop(part.stop_signal(), part.stop_grace()).await?;
        step.done(&match killed {
            false => format!("{part} has ended"),
            true => format!(
                "{part} did not end within {:?} and was killed",
                part.stop_grace()
            ),
        });
    }
    // Crash here: the next launcher finds it dead.
    state.update(|state| drop(state.parts.remove(&part)))?;
    Ok(alive.is_some())
}

/// Ends what a launcher left that was killed between starting it and writing it down.
pub async fn end_strays(state: &State, dir: &ShopDir) -> Result<usize> {
    let strays = state.strays(dir);
    for stray in &strays {
        // Postgres takes SIGINT as a wish to end at once; so do the others.
        stray.stop(Signal::SIGINT, Duration::from_secs(20)).await?;
    }
    Ok(strays.len())
}
