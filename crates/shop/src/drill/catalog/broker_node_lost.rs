//! One of three Kafka nodes is killed with SIGKILL, whichever it is: a leader of partitions, of
//! groups, or of the cluster. Nobody who orders notices, and coffee goes on to be made: two nodes
//! have every message, and two are enough.

use super::prelude::*;
use anyhow::Context as _;
use rand::seq::IteratorRandom as _;

pub(super) const DRILL: Drill = Drill {
    name: "broker-node-lost",
    source: include_str!("broker_node_lost.rs"),
    opening: || Opening::default().kafka_nodes(3),
    acts: |scene| acts(scene).boxed_local(),
};

/// Orders that are placed and made while a node is away.
const MADE: &str = "select count(*) from orders where state = 'READY' and create_time > $1";

async fn acts(scene: &Scene) -> Result<()> {
    let nodes = scene.shop.servers.kafka_nodes();
    let node = scene.draw(|dice| nodes.choose(dice));
    let node = node.context("there are three")?;
    scene.steady().await?;

    scene.breaks("a Kafka node killed", node.kill9()).await?;
    scene.lasts().await;
    scene
        .until("orders to be made without the node", async || {
            let made = scene.count_since_break(Service::Reception, MADE).await?;
            Ok(made >= u64::from(scene.rate()))
        })
        .await?;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("replicas that fell behind", scene.replicas_behind().await?);

    scene.heals(node.restart()).await
}
