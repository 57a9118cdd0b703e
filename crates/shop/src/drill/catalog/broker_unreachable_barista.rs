//! Kafka is out of the barista's reach, and of nobody else's: its line swallows everything, and closes
//! no connection. Nobody who orders notices, and reception's events go out as ever. They wait in
//! Kafka; when the line is back every order is made, once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-unreachable-barista",
    source: include_str!("broker_unreachable_barista.rs"),
    opening: || Opening::default().kafka_proxy_before(Service::Barista),
    acts: |scene| acts(scene).boxed_local(),
};

const PAID: &str = "select count(*) from orders where state = 'PAID'";

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.servers.kafka_proxy();
    scene.steady().await?;
    let kind = "the barista's line to Kafka silent";
    scene.falls_silent(kind, line).await?;
    scene
        .until("what reception says to go out", async || {
            let sent = scene.count_since_break(Service::Reception, SENT_SINCE);
            Ok(sent.await? > 0)
        })
        .await?;
    let unheard = scene.count(Service::Reception, PAID).await?;
    scene.bites("paid orders that nobody has heard of", unheard);
    scene.sounds_again(line).await
}
