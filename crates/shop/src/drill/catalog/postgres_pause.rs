//! Postgres hangs: new connections are accepted by nobody, statements under way get no answer. Calls
//! end by their own limits, and when it goes on, what was committed meanwhile is nobody's second
//! order.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "postgres-pause",
    source: include_str!("postgres_pause.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

/// SIGSTOP would stop the postmaster alone, and its backends would answer on: the lines to all
/// databases fall silent instead.
async fn acts(scene: &Scene) -> Result<()> {
    let lines = Service::ALL.map(|service| scene.shop.line(Line::Database(service)));
    scene.steady().await?;

    let hangs = async {
        lines.iter().for_each(|line| line.black_hole());
        Ok(())
    };
    scene.breaks("Postgres hangs", hangs).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene.bites("calls not answered OK", calls.not_ok() as u64);

    let goes_on = async {
        lines.iter().for_each(|line| line.heal());
        Ok(())
    };
    scene.heals(goes_on).await
}
