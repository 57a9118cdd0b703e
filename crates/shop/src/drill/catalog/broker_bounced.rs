//! Kafka goes away and comes back five times in a row, killed or stopped in good order as the dice
//! fall: no sooner have clients found it than it is gone. Nobody who orders notices, and whatever was
//! repeated on the way is absorbed.

use super::prelude::*;
use rand::Rng as _;

pub(super) const DRILL: Drill = Drill {
    name: "broker-bounced",
    source: include_str!("broker_bounced.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const TIMES: u32 = 5;

async fn acts(scene: &Scene) -> Result<()> {
    let kafka = &scene.shop.servers.kafka;
    scene.steady().await?;

    let (from, mut waited) = (scene.now_us(), 0);
    for _ in 0..TIMES {
        match scene.draw(|dice| dice.random_bool(0.5)) {
            true => scene.breaks("Kafka killed", kafka.kill9()).await?,
            false => scene
                .breaks("Kafka stopped", kafka.terminate())
                .await
                .map(drop)?,
        }
        scene.lasts_for(0.2).await;
        scene.heals(kafka.restart()).await?;
        scene.lasts_for(0.1).await;
        waited = waited.max(scene.most_stale());
    }
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("events that waited in outboxes", waited);
    Ok(())
}
