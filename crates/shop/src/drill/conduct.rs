//! One drill, from opening to verdict.
//!
//! Guarantee: whatever happens, nothing is left running, and no data. The folder of the drill keeps
//! the history and the report; the logs stay only if it failed. After ctrl-C the folder is gone, too.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use lifecycle::Stop;
use tokio::time::interval;

use super::{
    Settings,
    report::{Report, Run},
    scene::{Ended, Scene},
    script::Drill,
};
use crate::progress::Progress;

/// Between two looks at how it goes.
const SAY_EVERY: Duration = Duration::from_millis(200);

/// Runs a drill; none if it was interrupted.
pub(super) async fn conduct(
    drill: &Drill,
    settings: &Settings,
    folder: &Path,
    stop: &Stop,
    progress: &Progress,
) -> Result<Option<Report>> {
    let folder = folder.join(drill.name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let conducted = play(drill, settings, &folder, stop, progress).await;
    match &conducted {
        Ok(Some(report)) => keep(report, &folder)?,
        // What an interrupted drill has shown is nothing.
        Ok(None) => fs::remove_dir_all(&folder)?,
        Err(_) => {}
    }
    conducted.with_context(|| format!("the drill {} cannot be run", drill.name))
}

async fn play(
    drill: &Drill,
    settings: &Settings,
    folder: &Path,
    stop: &Stop,
    progress: &Progress,
) -> Result<Option<Report>> {
    let mut step = progress.step(format!("{}: opening a shop", drill.name));
    let opening = (drill.opening)();
    let log_is_kept = opening.log_is_kept;
    let opened = stop.run_until_cancelled(Scene::open(opening, settings.clone(), folder));
    let Some(scene) = opened.await else {
        // Its guards end what it had begun.
        return Ok(None);
    };
    let scene = scene?;
    let acts = acts(drill, &scene, log_is_kept);
    let said = says(&scene, |doing| {
        step.now(&format!("{}: {doing}", drill.name))
    });
    let acted = tokio::select! {
        acted = stop.run_until_cancelled(acts) => acted,
        () = said => None,
    };
    let Some((ended, errors)) = acted else {
        scene.shop.abandon().await?;
        return Ok(None);
    };
    let report = report(drill, scene, ended, errors).await?;
    step.done(&format!("{} is over", drill.name));
    Ok(Some(report))
}

/// The acts of the drill, and what follows them in every drill.
async fn acts(drill: &Drill, scene: &Scene, log_is_kept: bool) -> (Option<Ended>, Vec<String>) {
    let all = async {
        (drill.acts)(scene).await?;
        scene.recovers().await?;
        scene.drains().await?;
        scene.ends(log_is_kept).await
    };
    match all.await {
        Ok(ended) => (Some(ended), Vec::new()),
        Err(error) => (None, vec![format!("{error:#}")]),
    }
}

/// Ends the shop: in good order if nothing went wrong, and whether it did so counts. The services end
/// before anything is said: what they have counted and traced is here then.
async fn report(
    drill: &Drill,
    mut scene: Scene,
    ended: Option<Ended>,
    errors: Vec<String>,
) -> Result<Report> {
    let whole = ended.is_some();
    let left = match whole {
        true => scene.closes().await,
        false => Ok(()),
    };
    let run = Run {
        drill,
        scene: &scene,
        ended,
        errors,
    };
    let mut report = Report::of(run).await?;
    let left = match (whole, left) {
        (true, Ok(())) => scene.shop.finish().await,
        (_, left) => scene.shop.abandon().await.and(left),
    };
    if let Err(error) = left {
        report
            .failures
            .push(format!("it did not end well: {error:#}"));
    }
    Ok(report)
}

fn keep(report: &Report, folder: &Path) -> Result<()> {
    let file = folder.join("report.json");
    fs::write(file, serde_json::to_string_pretty(report)?)?;
    let logs = folder.join("logs");
    if report.passed() && logs.exists() {
        fs::remove_dir_all(logs)?;
    }
    Ok(())
}

async fn says(scene: &Scene, mut say: impl FnMut(&str)) {
    let mut ticks = interval(SAY_EVERY);
    loop {
        ticks.tick().await;
        say(&scene.doing());
    }
}
