//! Messages that cannot be handled come between those of customers, on every partition: bytes that
//! are no event, and an event of an order that nobody placed. Each is parked, whole and once, and
//! what lies behind it on its partition goes on.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "poison",
    source: include_str!("poison.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const PARKED: &str = "select count(*) from dead_letters";
/// Messages of each kind, on each partition.
const TIMES: usize = 3;

async fn acts(scene: &Scene) -> Result<()> {
    let shop = &scene.shop;
    scene.steady().await?;

    let mut poured = 0;
    for _ in 0..TIMES {
        let pour = async {
            let of_barista = shop.poison(Service::Barista).await?;
            Ok(of_barista + shop.poison(Service::Reception).await?)
        };
        poured += scene.breaks("poison poured", pour).await?;
        scene.lasts_for(0.3).await;
    }
    let mut parked = 0;
    scene
        .until("all of it to be parked", async || {
            let here = scene.count(Service::Reception, PARKED).await?;
            parked = here + scene.count(Service::Barista, PARKED).await?;
            Ok(parked >= poured)
        })
        .await?;
    scene.claim(
        "each is parked once",
        parked == poured,
        format!("{parked} dead letters of {poured} messages"),
    );
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.bites("messages parked", parked);
    scene.heals(async { Ok(()) }).await
}
