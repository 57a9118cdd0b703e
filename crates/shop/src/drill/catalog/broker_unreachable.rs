//! The network before Kafka swallows everything: connections stay, nothing arrives, nobody is told.
//! Nobody who orders notices, and what was under way when it fell silent is published again and
//! absorbed.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-unreachable",
    source: include_str!("broker_unreachable.rs"),
    opening: || Opening::default().kafka_proxy(),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.servers.kafka_proxy();
    scene.steady().await?;
    scene.falls_silent("Kafka unreachable", line).await?;
    scene.sounds_again(line).await
}
