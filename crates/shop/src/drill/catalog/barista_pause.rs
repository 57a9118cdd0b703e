//! One of two instances of the barista's service is stopped with SIGSTOP, with drinks in hand, for
//! longer than it may have them. The other takes them over. When it wakes it finishes what it had, and
//! is not allowed to book it. Nobody who orders notices, and every drink is booked once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "barista-pause",
    source: include_str!("barista_pause.rs"),
    opening: || {
        let opening = Opening::default().baristas(2);
        let opening = opening.with(Service::Barista, "DRINK_LEASE", "500ms");
        // Long enough that drinks are in somebody's hands most of the time.
        opening.with(Service::Barista, "BREW_SCALE", "0.1")
    },
    acts: |scene| acts(scene).boxed_local(),
};

const HANDS: &str = "select count(distinct lease_owner) from drinks where state = 'BREWING'";
const TAKEN_OVER: &str = "select count(*) from drinks where lapses > 0";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let (from, mut taken) = (scene.now_us(), 0);
    for sleeper in scene.all(Service::Barista) {
        // Whoever sleeps with empty hands leaves nothing to take over.
        scene
            .until("both to have drinks in hand", async || {
                Ok(scene.count(Service::Barista, HANDS).await? > 1)
            })
            .await?;
        let before = scene.count(Service::Barista, TAKEN_OVER).await?;
        scene.breaks("barista paused", sleeper.pause()).await?;
        scene.lasts_for(0.4).await;
        scene
            .until("a drink to be taken over", async || {
                taken = scene.count(Service::Barista, TAKEN_OVER).await?;
                Ok(taken > before)
            })
            .await?;
        scene.heals(sleeper.resume()).await?;
        scene.lasts_for(0.1).await;
    }
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("drinks taken over", taken);
    Ok(())
}
