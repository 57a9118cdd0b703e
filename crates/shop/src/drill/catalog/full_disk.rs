//! The disk of Postgres is full to the last block. Nobody is told OK who is not stored, nobody waits
//! for long, and nothing that could not be written is taken for something that cannot be handled.
//! When there is room again, whoever asks again gets one order and one charge.

use super::prelude::*;
use crate::disk::SmallDisk;

pub(super) const DRILL: Drill = Drill {
    name: "full-disk",
    source: include_str!("full_disk.rs"),
    opening: || {
        let opening = Opening::default().postgres_disk(MEGABYTES);
        opening.needs(SmallDisk::try_out)
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// Three databases, and what a drill writes.
const MEGABYTES: u32 = 384;
const PARKED: &str = "select count(*) from dead_letters";

async fn acts(scene: &Scene) -> Result<()> {
    let servers = &scene.shop.servers;
    let (postgres, disk) = (&servers.postgres, servers.postgres_disk());
    scene.steady().await?;

    scene
        .breaks("disk of Postgres full", async { disk.fill() })
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene.bites("calls not answered OK", calls.not_ok() as u64);

    let room = async {
        disk.clear()?;
        // It gives up if there is no room for its log either.
        match postgres.identity().await.is_alive() {
            true => Ok(()),
            false => postgres.restart().await,
        }
    };
    scene.heals(room).await?;
    let parked = scene.count(Service::Barista, PARKED).await?;
    let parked = parked + scene.count(Service::Reception, PARKED).await?;
    let none = parked == 0;
    scene.claim("nothing is parked", none, format!("{parked} dead letters"));
    Ok(())
}
