//! The clocks of reception and the barista jump by an hour, forward and back, while orders are on
//! their way. Leases, pauses and deadlines do not hang on them: nobody who orders notices, no lease
//! runs out by it, and every order is made and charged once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "clock-jump",
    source: include_str!("clock_jump.rs"),
    opening: || {
        let opening = Opening::default().clock_of(Service::Reception);
        opening.clock_of(Service::Barista)
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// What was written by a clock that is wrong.
const WRONG: &str = "select count(*) from orders \
    where create_time not between now() - interval '30 minutes' and now() + interval '30 minutes'";
const WRONG_TICKETS: &str = "select count(*) from tickets \
    where update_time not between now() - interval '30 minutes' and now() + interval '30 minutes'";
const TAKEN_OVER: &str = "select count(*) from drinks where lapses > 0";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;
    let from = scene.now_us();

    for (service, jump) in [
        (Service::Reception, "+1h"),
        (Service::Barista, "+1h"),
        (Service::Reception, "-1h"),
        (Service::Barista, "-1h"),
    ] {
        let kind = format!("clock of {} {jump}", service.name());
        let set = async { scene.sets_clock(service, jump) };
        scene.breaks(&kind, set).await?;
        scene.lasts_for(0.3).await;
    }
    scene.bites(
        "orders of another hour",
        scene.count(Service::Reception, WRONG).await?,
    );
    scene.bites(
        "tickets of another hour",
        scene.count(Service::Barista, WRONG_TICKETS).await?,
    );
    let taken = scene.count(Service::Barista, TAKEN_OVER).await?;
    let seen = format!("{taken} drinks taken over");
    scene.claim("no lease runs out by it", taken == 0, seen);
    let calls = scene.calls_since(from);
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);

    let right = async {
        scene.sets_clock(Service::Reception, "+0")?;
        scene.sets_clock(Service::Barista, "+0")
    };
    scene.heals(right).await
}
