//! The payment provider is killed and stays away. Nobody who orders notices: calls are answered OK
//! with an order that awaits its payment, soon so by an open circuit, and each is charged once when
//! the provider is back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payments-down",
    source: include_str!("payments_down.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let payments = &scene.shop.payments;
    scene.steady().await?;

    scene.breaks("payments killed", payments.kill9()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    let opened = scene.circuit_opened();
    scene.claim("the circuit opens", opened, scene.circuit());
    scene.bites(
        "charges that failed or were refused",
        scene.charges_failed(),
    );

    scene.heals(payments.start()).await
}
