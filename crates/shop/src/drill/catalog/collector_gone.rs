//! The collector of traces is gone: nobody listens where spans are sent. Nobody who orders notices,
//! and no call waits for it; spans are dropped, and counted.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "collector-gone",
    source: include_str!("collector_gone.rs"),
    opening: || {
        let opening = Opening::default();
        Service::ALL.into_iter().fold(opening, |opening, service| {
            opening.with(service, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NOWHERE)
        })
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// The port of a service that nobody offers any more.
const NOWHERE: &str = "http://127.0.0.1:9";
const DROPPED: &str = "coffeeshop.telemetry.spans.dropped";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    scene
        .breaks("collector of traces gone", async { Ok(()) })
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim("every call is answered OK", calls.not_ok() == 0, &calls);
    let soon = calls.slowest() < ANSWERED_WITHIN;
    scene.claim("no call waits for its deadline", soon, &calls);
    scene
        .until("spans to be dropped", async || {
            Ok(scene.counted(DROPPED) > 0)
        })
        .await?;
    scene.bites("spans dropped", scene.counted(DROPPED));
    scene.heals(async { Ok(()) }).await
}
