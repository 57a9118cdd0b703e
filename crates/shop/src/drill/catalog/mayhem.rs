//! Everything at random, from a seed: processes, servers, lines and the provider break, one or two at
//! a time, for as long as the dice say. Whatever customers are told meanwhile, what they were told in
//! the end is so.

use super::prelude::*;
use crate::drill::scene::Trouble;
use rand::Rng as _;

pub(super) const DRILL: Drill = Drill {
    name: "mayhem",
    source: include_str!("mayhem.rs"),
    opening: || {
        let opening = Opening::default().lines().kafka_proxy();
        let opening = opening.receptions(2).baristas(2);
        let opening = opening.with(Service::Reception, "OUTBOX_LEASE", "1s");
        opening.with(Service::Barista, "DRINK_LEASE", "500ms")
    },
    acts: |scene| acts(scene).boxed_local(),
};

const ROUNDS: u32 = 5;

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let (mut injected, mut noticed) = (0, 0);
    for _ in 0..ROUNDS {
        let troubles = scene.draw(Trouble::draw);
        let mut befores = Vec::new();
        for trouble in &troubles {
            befores.push((*trouble, scene.before(*trouble)));
            scene
                .breaks(&trouble.to_string(), scene.troubles(*trouble))
                .await?;
        }
        let share = scene.draw(|dice| dice.random_range(0.1..0.3));
        scene.lasts_for(share).await;
        let mend = async {
            for trouble in &troubles {
                scene.mends(*trouble).await?;
            }
            Ok(())
        };
        scene.heals(mend).await?;
        scene.lasts_for(0.05).await;
        for (trouble, before) in befores {
            injected += 1;
            noticed += u64::from(scene.noticed(trouble, before).await?);
        }
    }
    scene.bites(&format!("of {injected} faults noticed"), noticed);
    Ok(())
}
