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
    let proxy = scene.shop.servers.kafka_proxy();
    scene.steady().await?;

    let silent = async {
        proxy.black_hole();
        Ok(())
    };
    scene.breaks("Kafka unreachable", silent).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("chunks that the network swallowed", proxy.counts().held);

    let heals = async {
        proxy.heal();
        Ok(())
    };
    scene.heals(heals).await
}
