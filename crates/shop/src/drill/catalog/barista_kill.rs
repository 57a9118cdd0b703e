//! The barista's service is killed with SIGKILL, again and again, with drinks in hand. Nobody who
//! orders notices; what was in hand is taken over when its lease has run out, and every drink is
//! booked once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "barista-kill",
    source: include_str!("barista_kill.rs"),
    // Long enough that drinks are in somebody's hands most of the time.
    opening: || Opening::default().with(Service::Barista, "BREW_SCALE", "0.1"),
    acts: |scene| acts(scene).boxed_local(),
};

const TAKEN_OVER: &str = "select count(*) from drinks where lapses > 0";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let from = scene.now_us();
    scene.kills_in_a_loop(Service::Barista, 3).await?;
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene
        .until("a drink to be taken over", async || {
            Ok(scene.count(Service::Barista, TAKEN_OVER).await? > 0)
        })
        .await?;
    scene.bites(
        "drinks taken over",
        scene.count(Service::Barista, TAKEN_OVER).await?,
    );
    Ok(())
}
