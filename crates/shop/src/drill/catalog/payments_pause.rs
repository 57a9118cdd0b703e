//! The payment provider is stopped with SIGSTOP: it takes calls and answers none. The circuit opens,
//! and calls are answered OK with an order that awaits its payment. When it goes on it decides what
//! was asked long ago and nobody waits for; asked again with the same key, it has decided already.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payments-pause",
    source: include_str!("payments_pause.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let payments = &scene.shop.payments;
    scene.steady().await?;

    scene.breaks("payments paused", payments.pause()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene
        .until("the circuit to open", async || Ok(scene.circuit_opened()))
        .await?;
    scene.bites(
        "charges that failed or were refused",
        scene.charges_failed(),
    );

    scene.heals(payments.resume()).await
}
