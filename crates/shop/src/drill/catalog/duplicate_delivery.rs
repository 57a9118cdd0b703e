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
/// What each knows by its id, and will know again.
const KNOWN: &str = "select count(*) from inbox";
/// What comes to a handler.
const HANDLED: [&str; 2] = ["coffeeshop.inbox.done", "coffeeshop.inbox.absorbed"];

async fn acts(scene: &Scene) -> Result<()> {
    let shop = &scene.shop;
    scene.steady().await?;
    scene.lasts_for(0.5).await;

    let mut known = 0;
    for service in [Service::Barista, Service::Reception] {
        known += scene.count(service, KNOWN).await?;
    }
    let (before, wanted) = (come_again(scene), known.max(1));
    for service in [Service::Barista, Service::Reception] {
        let set_back = async {
            shop.service(service).stop().await?;
            shop.set_back(service).await
        };
        scene.breaks("offsets set back to 0", set_back).await?;
        scene.heals(shop.service(service).start()).await?;
    }
    scene
        .until("every event to come again", async || {
            Ok(come_again(scene) >= before + wanted)
        })
        .await?;
    scene.lasts_for(0.5).await;
    scene.bites("duplicates absorbed", come_again(scene) - before);
    Ok(())
}

/// Without an inbox they come to a handler again, and so do those that are new.
fn come_again(scene: &Scene) -> u64 {
    match ::planted::bug(::planted::Bug::NoInbox) {
        true => HANDLED.map(|counter| scene.counted(counter)).iter().sum(),
        false => scene.counted(DUPLICATES),
    }
}
