//! The payment provider is killed with SIGKILL, again and again, in the middle of charges. Nobody who
//! orders notices, and the key decides: an order whose charge nobody heard of is not charged again.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payments-kill",
    source: include_str!("payments_kill.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let from = scene.now_us();
    scene.kills_in_a_loop(Service::Payments, 3).await?;
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites(
        "charges that failed or were refused",
        scene.charges_failed(),
    );
    Ok(())
}
