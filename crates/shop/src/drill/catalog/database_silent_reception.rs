//! Reception's database alone falls silent, and closes no connection. Calls end by their own limits,
//! what was placed before is made all the same, and whoever asks again has one order.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "database-silent-reception",
    source: include_str!("database_silent_reception.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.line(Line::Database(Service::Reception));
    scene.steady().await?;
    let silent = async {
        line.black_hole();
        Ok(())
    };
    let kind = "reception's database silent";
    scene.breaks(kind, silent).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene.bites("calls not answered OK", calls.not_ok() as u64);
    scene.sounds_again(line).await
}
