//! Kafka is away for most of the time that customers come, however long that is. Nobody who orders
//! notices: the outbox grows with every order, the last call is answered as soon as the first, and
//! when Kafka is back all of it goes out and is made.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "long-outage",
    source: include_str!("long_outage.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

/// A search through what waits would show in the second half of it.
const AS_SOON: Duration = Duration::from_secs(1);

async fn acts(scene: &Scene) -> Result<()> {
    let kafka = &scene.shop.servers.kafka;
    scene.steady().await?;

    scene.breaks("Kafka killed", kafka.kill9()).await?;
    let from = scene.now_us();
    scene.lasts_for(0.8).await;
    let first = scene.calls_since_break();
    let half = scene.now_us();
    scene.lasts_for(0.8).await;
    let second = scene.calls_since(half);
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    let as_soon = second.p99() < first.p99() + AS_SOON;
    scene.claim(
        "the last are answered as soon as the first",
        as_soon,
        &second,
    );
    let placed = scene.calls_since(from).placed();
    let unsent = scene.count(Service::Reception, UNSENT).await?;
    scene.claim(
        "every order waits in the outbox, placed and paid",
        unsent >= 2 * placed,
        format!("{unsent} events of {placed} orders placed since"),
    );
    scene.bites("events that waited in outboxes", scene.most_stale());

    scene.heals(kafka.restart()).await
}
