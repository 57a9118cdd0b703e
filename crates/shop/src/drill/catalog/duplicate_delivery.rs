//! Both consumer groups are set back to the beginning of their topics: every event is delivered a
//! second time. Each meets its first row in the inbox, and nothing is made or charged again.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "duplicate-delivery",
    source: include_str!("duplicate_delivery.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const DUPLICATES: &str = "coffeeshop.inbox.duplicates";

async fn acts(scene: &Scene) -> Result<()> {
    let shop = &scene.shop;
    scene.steady().await?;
    scene.lasts_for(0.5).await;

    let before = scene.counted(DUPLICATES);
    for service in [Service::Barista, Service::Reception] {
        let set_back = async {
            shop.service(service).stop().await?;
            shop.set_back(service).await
        };
        scene.breaks("offsets set back to 0", set_back).await?;
        scene.heals(shop.service(service).start()).await?;
    }
    scene
        .until("events to come again", async || {
            Ok(scene.counted(DUPLICATES) > before)
        })
        .await?;
    scene.lasts_for(0.5).await;
    scene.bites("duplicates absorbed", scene.counted(DUPLICATES) - before);
    Ok(())
}
