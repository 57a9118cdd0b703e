//! Kafka is out of reception's reach, and of nobody else's: its line swallows everything, and closes
//! no connection. Nobody who orders notices. What is to be said waits in reception's outbox, what the
//! barista said waits in Kafka, and both are heard when the line is back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-unreachable-reception",
    source: include_str!("broker_unreachable_reception.rs"),
    opening: || Opening::default().kafka_proxy_before(Service::Reception),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.servers.kafka_proxy();
    scene.steady().await?;
    let kind = "reception's line to Kafka silent";
    scene.falls_silent(kind, line).await?;
    scene.bites("events that waited in outboxes", scene.most_stale());
    scene.sounds_again(line).await
}
