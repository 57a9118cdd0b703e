//! Instances of the barista's service come and go all the time, in good order or killed as the dice
//! fall, so that the partitions are never for long in the same hands. Nobody who orders notices, and
//! what is delivered to two of them has its effect once.

use super::prelude::*;
use rand::Rng as _;

pub(super) const DRILL: Drill = Drill {
    name: "rebalance-storm",
    source: include_str!("rebalance_storm.rs"),
    opening: || Opening::default().baristas(3),
    acts: |scene| acts(scene).boxed_local(),
};

/// How often each of them goes.
const ROUNDS: usize = 2;

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let (from, mut rebalances) = (scene.now_us(), 0);
    for _ in 0..ROUNDS {
        for instance in scene.all(Service::Barista) {
            match scene.draw(|dice| dice.random_bool(0.5)) {
                true => scene.breaks("barista killed", instance.kill9()).await?,
                false => scene.breaks("barista stopped", instance.stop()).await?,
            }
            scene.lasts_for(0.05).await;
            scene.heals(instance.start()).await?;
            rebalances += 2;
        }
    }
    let calls = scene.calls_since(from);
    scene.claim("every call is answered OK", calls.not_ok() == 0, &calls);
    scene.bites("times that an instance came or went", rebalances);
    Ok(())
}
