//! The line to payments swallows everything, and closes no connection: nobody is told that the provider
//! is out of reach. Calls are answered OK with an order that awaits its payment, the circuit opens, and
//! when the line is back everybody is charged once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payments-silent",
    source: include_str!("payments_silent.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.line(Line::Payments);
    scene.steady().await?;
    scene.falls_silent("line to payments silent", line).await?;
    let opened = scene.circuit_opened();
    scene.claim("the circuit opens", opened, scene.circuit());
    let failed = scene.charges_failed();
    scene.bites("charges that failed or were refused", failed);
    scene.sounds_again(line).await
}
