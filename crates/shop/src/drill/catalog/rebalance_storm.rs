//! Instances of the barista's service come and go all the time, in good order or killed as the dice
//! fall, so that the partitions are never for long in the same hands. Nobody who orders notices, and
//! what is delivered to two of them has its effect once.

use super::prelude::*;
use rand::Rng as _;
use tokio::time::sleep;

pub(super) const DRILL: Drill = Drill {
    name: "rebalance-storm",
    source: include_str!("rebalance_storm.rs"),
    opening: || Opening::default().baristas(3),
    acts: |scene| acts(scene).boxed_local(),
};

/// How often each of them goes.
const ROUNDS: usize = 2;
/// Consumers tell every five seconds.
const TOLD_EVERY: Duration = Duration::from_secs(6);
const REBALANCES: &str = "coffeeshop.consumer.rebalances";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    // Those of the opening have to be told before those of the storm are counted.
    let mut before = 0;
    scene
        .until("consumers to come to rest", async || {
            sleep(TOLD_EVERY).await;
            let last = std::mem::replace(&mut before, scene.counted(REBALANCES));
            Ok(before > 0 && before == last)
        })
        .await?;
    let from = scene.now_us();
    for _ in 0..ROUNDS {
        for instance in scene.all(Service::Barista) {
            match scene.draw(|dice| dice.random_bool(0.5)) {
                true => scene.breaks("barista killed", instance.kill9()).await?,
                false => scene.breaks("barista stopped", instance.stop()).await?,
            }
            scene.lasts_for(0.05).await;
            scene.heals(instance.start()).await?;
        }
    }
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene
        .until("a rebalance to be seen", async || {
            Ok(scene.counted(REBALANCES) > before)
        })
        .await?;
    // Who was killed over one has not told of it: this is the least that there were.
    let rebalances = scene.counted(REBALANCES) - before;
    scene.bites("rebalances that consumers have seen", rebalances);
    Ok(())
}
