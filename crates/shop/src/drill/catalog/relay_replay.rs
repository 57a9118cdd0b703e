//! The cursors of both outboxes are set back to their beginning, as after a restored row or a hand
//! that slipped: every event is published a second time, with the same id. Each meets its first row
//! in an inbox, and nothing is made or charged again.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "relay-replay",
    source: include_str!("relay_replay.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const DUPLICATES: &str = "coffeeshop.inbox.duplicates";
/// The new epoch keeps a relay that is sending from moving them forward again.
const SET_BACK: &str = "update outbox_parts \
    set cursor_xid = '0', cursor_seq = 0, epoch = epoch + 1";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;
    scene.lasts_for(0.5).await;

    let before = scene.counted(DUPLICATES);
    for service in [Service::Reception, Service::Barista] {
        let sent = scene.count(service, SENT).await?;
        let set_back = scene.execute(service, SET_BACK);
        scene.breaks("cursors set back to 0", set_back).await?;
        scene
            .until("all of it to be sent again", async || {
                Ok(scene.count(service, SENT).await? >= sent)
            })
            .await?;
        scene.heals(async { Ok(()) }).await?;
    }
    scene
        .until("events to come again", async || {
            Ok(scene.counted(DUPLICATES) > before)
        })
        .await?;
    scene.lasts_for(0.5).await;
    scene.bites("duplicates absorbed", scene.counted(DUPLICATES) - before);
    let calls = scene.calls_since_break();
    scene.claim("every call is answered OK", calls.not_ok() == 0, &calls);
    Ok(())
}
