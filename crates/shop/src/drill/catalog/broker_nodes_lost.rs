//! Two of three Kafka nodes are killed with SIGKILL. The third takes nothing on its own: a message
//! that only it has would be lost with it. Nobody who orders notices; events wait in the outboxes,
//! and whatever Kafka had acknowledged before is there when the two are back.

use super::prelude::*;
use futures::future::try_join_all;
use rand::seq::IteratorRandom as _;

pub(super) const DRILL: Drill = Drill {
    name: "broker-nodes-lost",
    source: include_str!("broker_nodes_lost.rs"),
    opening: || Opening::default().kafka_nodes(3),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let nodes = scene.shop.servers.kafka_nodes();
    let lost = scene.draw(|dice| nodes.choose_multiple(dice, 2));
    scene.steady().await?;

    let killed = async {
        try_join_all(lost.iter().map(|node| node.kill9())).await?;
        Ok(())
    };
    scene.breaks("two Kafka nodes killed", killed).await?;
    let before = scene.count(Service::Reception, UNSENT).await?;
    let from = scene.now_us();
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    let placed = scene.calls_since(from).placed();
    let waits = scene.count(Service::Reception, UNSENT).await?;
    let more = waits.saturating_sub(before);
    scene.claim(
        "the one that is left takes nothing",
        // Each was placed, and paid.
        more >= 2 * placed,
        format!("{more} more events wait, of {placed} orders placed since"),
    );
    scene.bites("events that waited in outboxes", scene.most_stale());

    let back = async {
        try_join_all(lost.iter().map(|node| node.restart())).await?;
        Ok(())
    };
    scene.heals(back).await
}
