//! Reception is killed with SIGKILL, again and again, while customers order. Whoever got no answer
//! asks again with the same `request_id`, and finds one order, charged once, also if the first call
//! had stored or charged it.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "reception-kill",
    source: include_str!("reception_kill.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let from = scene.now_us();
    scene.kills_in_a_loop(Service::Reception, 3).await?;
    let calls = scene.calls_since(from);
    scene.bites("calls not answered OK", calls.not_ok() as u64);
    Ok(())
}
