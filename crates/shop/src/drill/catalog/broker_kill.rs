//! Kafka is killed with SIGKILL and comes back. Nobody who orders notices, and what it had
//! acknowledged is still there: every event that was sent is on its topic.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-kill",
    source: include_str!("broker_kill.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let kafka = &scene.shop.servers.kafka;
    scene.steady().await?;

    scene.breaks("Kafka killed", kafka.kill9()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("events that waited in outboxes", scene.most_stale());

    scene.heals(kafka.restart()).await
}
