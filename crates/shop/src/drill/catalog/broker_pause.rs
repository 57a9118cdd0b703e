//! Kafka is stopped with SIGSTOP: connections stay, and nobody answers. Nobody who orders notices,
//! and when it goes on, as if no time had passed, nothing is lost and nothing made twice.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-pause",
    source: include_str!("broker_pause.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let kafka = &scene.shop.servers.kafka;
    scene.steady().await?;

    scene.breaks("Kafka paused", kafka.pause()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("events that waited in outboxes", scene.most_stale());

    scene.heals(kafka.resume()).await
}
