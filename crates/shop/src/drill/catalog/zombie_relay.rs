//! A relay is stopped with SIGSTOP while it waits for Kafka's word on a batch, sleeps through the end of
//! its leases, and wakes. Another one has gone on from there. The sleeper's word on its batch
//! does not count any more: no cursor moves back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "zombie-relay",
    source: include_str!("zombie_relay.rs"),
    opening: || {
        let opening = Opening::default().receptions(2);
        opening.with(Service::Reception, "OUTBOX_LEASE", "2s")
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// The database itself looks on: the next batch moves the cursor forth again within milliseconds.
const LOOKS_ON: &str = "create sequence moved_back; \
    create function moves_back() returns trigger language plpgsql as $$ begin \
        perform nextval('moved_back'); return null; end $$; \
    create trigger moves_back after update on outbox_parts for each row \
        when ((new.cursor_xid, new.cursor_seq) < (old.cursor_xid, old.cursor_seq)) \
        execute function moves_back()";
const MOVED_BACK: &str = "select case when is_called then last_value else 0 end from moved_back";
const PARTS_WAITING: &str = "select count(distinct part) from outbox join outbox_parts p using (part) \
    where (xid, seq) > (p.cursor_xid, p.cursor_seq)";
const HANDS_CHANGED: &str = "select sum(epoch)::bigint from outbox_parts";
const FENCED: &str = "coffeeshop.outbox.fenced";

async fn acts(scene: &Scene) -> Result<()> {
    let (kafka, zombie) = (&scene.shop.servers.kafka, &scene.shop.reception);
    let looks_on = sqlx::raw_sql(LOOKS_ON);
    looks_on.execute(&scene.shop.reception_pool()).await?;
    scene.steady().await?;

    scene.breaks("Kafka paused", kafka.pause()).await?;
    scene
        .until("events to wait in every part", async || {
            Ok(scene.count(Service::Reception, PARTS_WAITING).await? == 8)
        })
        .await?;
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
    scene.heals(zombie.resume()).await?;
    scene
        .until("the sleeper to have its say", async || {
            let back = scene.count(Service::Reception, MOVED_BACK).await?;
            Ok(back + scene.counted(FENCED) > 0)
        })
        .await?;
    let back = scene.count(Service::Reception, MOVED_BACK).await?;
    scene.claim("no cursor moves back", back == 0, format!("{back} did"));
    scene.bites("events sent without a lease", back + scene.counted(FENCED));
    Ok(())
}
