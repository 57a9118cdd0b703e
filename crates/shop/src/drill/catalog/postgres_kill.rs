//! Postgres is killed with SIGKILL in the middle of its transactions. What was acknowledged is there
//! again after its recovery; of what was under way, an order is stored whole or not at all.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "postgres-kill",
    source: include_str!("postgres_kill.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let postgres = &scene.shop.servers.postgres;
    scene.steady().await?;

    scene.breaks("Postgres killed", postgres.kill9()).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene.bites("calls not answered OK", calls.not_ok() as u64);

    scene.heals(postgres.restart()).await
}
