//! A relay is stopped with SIGSTOP while it waits for Kafka's word on a batch, sleeps through the end of
//! its leases, and wakes. Another one has gone on from there. The sleeper's word on its batch
//! does not count any more: no cursor moves back.

use tokio::time::{Instant, sleep};

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "zombie-relay",
    source: include_str!("zombie_relay.rs"),
    opening: || {
        let opening = Opening::default().receptions(2);
        opening.with(Service::Reception, "OUTBOX_LEASE", "1s")
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// How long the sleeper is watched: it says its word within moments.
const WATCHED: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const HANDS_CHANGED: &str = "select sum(epoch)::bigint from outbox_parts";

async fn acts(scene: &Scene) -> Result<()> {
    let (kafka, zombie) = (&scene.shop.servers.kafka, &scene.shop.reception);
    scene.steady().await?;

    scene.breaks("Kafka paused", kafka.pause()).await?;
    scene.lasts_for(0.2).await;
    let before = scene.count(Service::Reception, HANDS_CHANGED).await?;
    scene
        .breaks("a relay stopped in its batch", zombie.pause())
        .await?;
    scene.heals(kafka.resume()).await?;
    scene
        .until("its parts to change hands", async || {
            Ok(scene.count(Service::Reception, HANDS_CHANGED).await? > before)
        })
        .await?;
    scene.lasts_for(0.2).await;
    let changed = scene.count(Service::Reception, HANDS_CHANGED).await? - before;
    scene.bites("parts that changed hands", changed);

    let at_the_latest = cursors(scene).await?;
    scene.heals(zombie.resume()).await?;
    let back = moves_back(scene, at_the_latest).await?;
    scene.claim("no cursor moves back", back == 0, format!("{back} did"));
    Ok(())
}

/// How far a part has come.
type Cursor = (i16, i64, i64);

async fn cursors(scene: &Scene) -> Result<Vec<Cursor>> {
    let cursors =
        "select part, cursor_xid::text::bigint, cursor_seq from outbox_parts order by part";
    let cursors = sqlx::query_as(cursors);
    Ok(cursors.fetch_all(&scene.shop.reception_pool()).await?)
}

/// How often a cursor was seen behind the place where it was seen before.
async fn moves_back(scene: &Scene, mut latest: Vec<Cursor>) -> Result<usize> {
    let (until, mut back) = (Instant::now() + WATCHED, 0);
    while Instant::now() < until {
        let now = cursors(scene).await?;
        back += latest.iter().zip(&now).filter(|(was, is)| is < was).count();
        latest = now;
        sleep(LOOK_EVERY).await;
    }
    Ok(back)
}
