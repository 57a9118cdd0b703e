//! The collector of traces is gone: nobody listens where spans are sent. Nobody who orders notices,
//! and no call waits for it; spans are dropped, and counted, until it is back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "collector-gone",
    source: include_str!("collector_gone.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const DROPPED: &str = "coffeeshop.telemetry.spans.dropped";

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.line_of_spans();
    scene.steady().await?;
    scene
        .until("spans to arrive", async || Ok(scene.spans().count() > 0))
        .await?;

    let before = scene.counted(DROPPED);
    let gone = async {
        line.cut();
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
        line.heal();
        Ok(())
    };
    scene.heals(back).await?;
    let seen = scene.spans().count();
    scene
        .until("spans to arrive again", async || {
            Ok(scene.spans().count() > seen)
        })
        .await
}
