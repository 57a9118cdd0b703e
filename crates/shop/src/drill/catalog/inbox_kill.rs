//! The barista's service is killed with messages in hand that it cannot commit, because its database
//! does not answer. Their offsets were not stored: they are delivered again, and made. Nobody
//! asks after silent orders here.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "inbox-kill",
    source: include_str!("inbox_kill.rs"),
    opening: || {
        let opening = Opening::default().lines();
        opening.with(Service::Reception, "RECONCILE_AFTER", "1h")
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// Longer than stored offsets wait for their commit.
const IN_HAND: f64 = 0.5;

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.line(Line::Database(Service::Barista));
    let barista = &scene.shop.barista;
    scene.steady().await?;

    let falls_silent = async {
        line.black_hole();
        Ok(())
    };
    scene
        .breaks("the barista's database hangs", falls_silent)
        .await?;
    // Without a message in hand there is no offset that could be stored too early.
    scene
        .until("events to come to the barista", async || {
            let sent = scene.count_since_break(Service::Reception, SENT_SINCE);
            Ok(sent.await? > 0)
        })
        .await?;
    scene.lasts_for(IN_HAND).await;
    scene.breaks("barista killed", barista.kill9()).await?;
    scene.bites("chunks that met a black hole", line.counts().held);

    let opens = async {
        line.heal();
        barista.start().await
    };
    scene.heals(opens).await
}
