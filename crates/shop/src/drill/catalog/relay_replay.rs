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
/// What each knows by its id, and will know again.
const KNOWN: &str = "select count(*) from inbox";
/// The new epoch keeps a relay that is sending from moving them forward again.
const SET_BACK: &str = "update outbox_parts \
    set cursor_xid = '0', cursor_seq = 0, epoch = epoch + 1";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;
    scene.lasts_for(0.5).await;

    let (before, mut known) = (scene.counted(DUPLICATES), 0);
    for service in [Service::Reception, Service::Barista] {
        known += scene.count(service, KNOWN).await?;
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
        .until("every event to come again", async || {
            Ok(scene.counted(DUPLICATES) >= before + known)
        })
        .await?;
    scene.lasts_for(0.5).await;
    scene.bites("duplicates absorbed", scene.counted(DUPLICATES) - before);
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    Ok(())
}
