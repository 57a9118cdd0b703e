//! The payment provider fails and goes well in turn, three times a second. Every call is answered OK,
//! whether the charge is decided at once or later, and every order is charged once.

use super::prelude::*;

/// Failing and going well, together.
const PERIOD: Duration = Duration::from_millis(330);

pub(super) const DRILL: Drill = Drill {
    name: "payments-flapping",
    source: include_str!("payments_flapping.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let flap = BehaviorRule {
        kind: BehaviorKind::Flap.into(),
        period: PERIOD.try_into().ok(),
        ..BehaviorRule::default()
    };
    scene
        .breaks("payments flaps", scene.tell_payments([flap]))
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites(
        "charges that failed or were refused",
        scene.charges_failed(),
    );

    scene.heals(scene.tell_payments([])).await
}
