//! Reception is killed while Kafka is away and its relay holds events that nobody has taken. The
//! cursor stands before them: after the restart each of them is sent, and none is missing.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "relay-kill",
    source: include_str!("relay_kill.rs"),
    // Soon asked after: what an outbox has lost is to be missed on its topic, not by an order.
    opening: || Opening::default().with(Service::Reception, "RECONCILE_AFTER", "5s"),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let (kafka, reception) = (&scene.shop.servers.kafka, &scene.shop.reception);
    scene.steady().await?;

    let from = scene.now_us();
    scene.breaks("Kafka killed", kafka.kill9()).await?;
    scene.lasts_for(0.5).await;
    let placed = scene.calls_since(from).placed();
    let dies_and_returns = async {
        reception.kill9().await?;
        reception.start().await
    };
    scene.breaks("reception killed", dies_and_returns).await?;
    scene.bites("orders whose events nobody had taken", placed);

    scene.lasts_for(0.2).await;
    scene.heals(kafka.restart()).await
}
