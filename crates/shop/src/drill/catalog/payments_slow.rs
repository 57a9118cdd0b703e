//! The payment provider answers later than anybody waits. The circuit opens, calls are answered OK
//! with an order that awaits its payment, and whatever the provider decided too late for us is what
//! the order says in the end: charged once.

use super::prelude::*;

/// Longer than reception waits for a charge.
const LATENCY: Duration = Duration::from_secs(3);

pub(super) const DRILL: Drill = Drill {
    name: "payments-slow",
    source: include_str!("payments_slow.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let slow = BehaviorRule {
        kind: BehaviorKind::Latency.into(),
        latency: LATENCY.try_into().ok(),
        ..BehaviorRule::default()
    };
    scene
        .breaks("payments slow", scene.tell_payments([slow]))
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    let opened = scene.circuit_opened();
    scene.claim("the circuit opens", opened, scene.circuit());
    scene.bites(
        "charges that failed or were refused",
        scene.charges_failed(),
    );

    scene.heals(scene.tell_payments([])).await
}
