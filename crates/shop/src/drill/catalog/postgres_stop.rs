//! Postgres, with the databases of all services, stops in good order and comes back. Nobody is told
//! OK who is not stored, nobody waits for long, and whoever asks again with the same `request_id`
//! gets one order and one charge.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "postgres-stop",
    source: include_str!("postgres_stop.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let postgres = &scene.shop.servers.postgres;
    scene.steady().await?;

    scene
        .breaks("Postgres stopped", postgres.terminate())
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene.bites("calls not answered OK", calls.not_ok() as u64);

    scene.heals(postgres.restart()).await
}
