//! The collector of traces is gone: nobody listens where spans are sent. Nobody who orders notices,
//! and no call waits for it; spans are
//! dropped, and counted, until it is back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "collector-gone",
    source: include_str!("collector_gone.rs"),
    opening: || Opening::default().collector(),
    acts: |scene| acts(scene).boxed_local(),
};

const DROPPED: &str = "coffeeshop.telemetry.spans.dropped";

async fn acts(scene: &Scene) -> Result<()> {
    let collector = scene.collector();
    scene.steady().await?;
    scene
        .until("spans to arrive", async || {
            Ok(!collector.spans().is_empty())
        })
        .await?;

    let before = scene.counted(DROPPED);
    let gone = async {
        collector.line.cut();
        Ok(())
    };
    scene.breaks("collector of traces gone", gone).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    scene
        .until("spans to be dropped", async || {
            Ok(scene.counted(DROPPED) > before)
        })
        .await?;
    scene.bites("spans dropped", scene.counted(DROPPED) - before);

    let back = async {
        collector.line.heal();
        Ok(())
    };
    scene.heals(back).await?;
    let seen = collector.spans().len();
    scene
        .until("spans to arrive again", async || {
            Ok(collector.spans().len() > seen)
        })
        .await
}
