//! Reception's database is restored from an old copy, which knows of orders and not of what became of
//! them: they were charged, made and told of since. Nobody ordered in between, for what a copy does
//! not know is lost with it. Reception finds out by asking, and nobody is charged or served twice.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "reception-restored",
    source: include_str!("reception_restored.rs"),
    // By itself reception waits longer before it asks after an order than a drill lasts.
    opening: || Opening::default().with(Service::Reception, "RECONCILE_AFTER", "2s"),
    acts: |scene| acts(scene).boxed_local(),
};

const READY: &str = "select count(*) from orders where state = 'READY'";
const ON_THEIR_WAY: &str = "select count(*) from orders \
    where state in ('AWAITING_PAYMENT', 'PAID', 'PREPARING')";

async fn acts(scene: &Scene) -> Result<()> {
    let shop = &scene.shop;
    scene.steady().await?;
    shop.barista.stop().await?;
    scene.lasts_for(0.3).await;

    let copy = async {
        shop.reception.stop().await?;
        shop.copy_database(Service::Reception).await;
        shop.barista.start().await
    };
    scene.breaks("reception's database copied", copy).await?;
    // Customers stand before the door of the other one, and wait.
    let unknown = shop.reception.second()?;
    unknown.start().await?;
    scene
        .until("every order to be READY", async || {
            Ok(scene.count(Service::Reception, ON_THEIR_WAY).await? == 0)
        })
        .await?;
    unknown.stop().await?;
    let known = scene.count(Service::Reception, READY).await?;
    shop.restore_database(Service::Reception).await;
    let left = scene.count(Service::Reception, READY).await?;
    scene.bites("orders forgotten to be READY", known.saturating_sub(left));

    scene.heals(shop.reception.start()).await
}
