//! Kafka stops in good order and is away for a while. Nobody who orders notices: every call is
//! answered OK, events wait in the outboxes, and when Kafka is back every order is made.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-stop",
    source: include_str!("broker_stop.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let kafka = &scene.shop.servers.kafka;
    scene.steady().await?;

    scene.breaks("Kafka stopped", kafka.terminate()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("events that waited in outboxes", scene.most_stale());

    scene.heals(kafka.restart()).await
}
