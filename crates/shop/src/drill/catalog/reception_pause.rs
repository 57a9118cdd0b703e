//! One of two receptions is stopped with SIGSTOP for longer than it may hold its part of the outbox:
//! the other takes over and publishes. When it wakes it believes that no time has passed, sends what
//! it had in hand, and is not allowed to move a cursor. Nothing is skipped, and what is sent twice is
//! absorbed.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "reception-pause",
    source: include_str!("reception_pause.rs"),
    opening: || {
        let opening = Opening::default().receptions(2);
        opening.with(Service::Reception, "OUTBOX_LEASE", "1s")
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// How often parts of the outbox have changed hands.
const HANDS: &str = "select sum(epoch)::bigint from outbox_parts";

async fn acts(scene: &Scene) -> Result<()> {
    let sleeper = &scene.shop.reception;
    scene.steady().await?;

    let before = scene.count(Service::Reception, HANDS).await?;
    scene.breaks("reception paused", sleeper.pause()).await?;
    scene.lasts().await;
    scene
        .until("the other to take over", async || {
            Ok(scene.count(Service::Reception, HANDS).await? > before)
        })
        .await?;
    let taken = scene.count(Service::Reception, HANDS).await? - before;
    scene.bites("parts of the outbox taken over", taken);
    let calls = scene.calls_since_break();
    let goes_on = calls.ok() > 0;
    scene.claim("the other one takes orders", goes_on, &calls);

    scene.heals(sleeper.resume()).await
}
