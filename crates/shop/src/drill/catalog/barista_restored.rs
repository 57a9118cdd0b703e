//! The barista's database is restored from an old copy, which knows nothing of the tickets that were
//! written since, and Kafka has delivered their orders already. Nobody who orders notices: reception
//! asks after what it hears nothing of, and every order is made once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "barista-restored",
    source: include_str!("barista_restored.rs"),
    // By itself reception waits longer before it asks after an order than a drill lasts.
    opening: || Opening::default().with(Service::Reception, "RECONCILE_AFTER", "2s"),
    acts: |scene| acts(scene).boxed_local(),
};

/// Everybody at work is busy with something else, as if each had a drink in hand. What was made and
/// told of since the copy would be lost with it.
const OCCUPY: &str = "insert into drinks (order_id, line, unit, drink, size, skill, brew_time_ms, \
         state, barista_id, lease_owner, lease_expire_time) \
     select gen_random_uuid(), 0, 0, 'small talk', 'long', 'patience', 0, 'BREWING', barista_id, \
         gen_random_uuid(), now() + interval '1 hour' from baristas on conflict do nothing";
const RELEASE: &str = "delete from drinks where drink = 'small talk'";
const TICKETS: &str = "select count(*) from tickets";

async fn acts(scene: &Scene) -> Result<()> {
    let (shop, barista) = (&scene.shop, &scene.shop.barista);
    scene.steady().await?;

    let copy = async {
        barista.stop().await?;
        scene.execute(Service::Barista, OCCUPY).await?;
        shop.copy_database(Service::Barista).await;
        barista.start().await
    };
    scene.breaks("the barista's database copied", copy).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);

    let restore = async {
        barista.stop().await?;
        let known = scene.count(Service::Barista, TICKETS).await?;
        shop.restore_database(Service::Barista).await;
        let left = scene.count(Service::Barista, TICKETS).await?;
        scene.bites("tickets forgotten", known.saturating_sub(left));
        scene.execute(Service::Barista, RELEASE).await?;
        barista.start().await
    };
    scene.heals(restore).await
}
