//! Kafka is gone with all that it knew, and an empty one takes its place: no topics, no messages, no
//! offsets. Paid orders of which nothing is heard are announced again, and every one is made.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-wiped",
    source: include_str!("broker_wiped.rs"),
    opening: || {
        // By itself reception waits longer before it asks after an order than a drill lasts.
        let opening = Opening::default().with(Service::Reception, "RECONCILE_AFTER", "5s");
        opening.log_is_lost()
    },
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let servers = &scene.shop.servers;
    scene.steady().await?;

    scene.breaks("Kafka killed", servers.kafka.kill9()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim("every call is answered OK", calls.not_ok() == 0, &calls);
    scene.bites("events that waited in outboxes", scene.most_stale());

    scene.heals(servers.wipe_kafka()).await
}
