//! Kafka is gone with all that it knew, and an empty one takes its place: no topics, no messages, no
//! offsets. The barista was away, and has not heard of orders that were paid and published: these are
//! announced again, and every one is made.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "broker-wiped",
    source: include_str!("broker_wiped.rs"),
    opening: || {
        // By itself reception waits longer before it asks after an order than a drill lasts.
        let opening = Opening::default().with(Service::Reception, "RECONCILE_AFTER", "5s");
        opening.log_is_lost()
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// Paid orders of which Kafka alone can tell the barista: the outbox says that they are published.
const KAFKA_ALONE_KNOWS: &str = "select count(*) from orders where state = 'PAID' \
    and create_time > $1 and exists ( \
        select from outbox o join outbox_parts p using (part) \
        where o.order_id = orders.order_id and o.event_type like '%.OrderPaid' \
            and (o.xid, o.seq) <= (p.cursor_xid, p.cursor_seq))";
const ANNOUNCED_AGAIN: &str = "select count(*) from outbox where event_type like '%.OrderOverdue'";

async fn acts(scene: &Scene) -> Result<()> {
    let (servers, barista) = (&scene.shop.servers, &scene.shop.barista);
    scene.steady().await?;

    scene.breaks("barista stopped", barista.stop()).await?;
    scene.lasts_for(0.5).await;
    let lost = scene
        .count_since_break(Service::Reception, KAFKA_ALONE_KNOWS)
        .await?;
    scene.bites("paid orders that only Kafka could tell of", lost);
    scene.breaks("Kafka killed", servers.kafka.kill9()).await?;
    scene.lasts_for(0.5).await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);

    let empty = async {
        servers.wipe_kafka().await?;
        barista.start().await
    };
    scene.heals(empty).await?;
    scene
        .until("lost orders to be announced again", async || {
            Ok(scene.count(Service::Reception, ANNOUNCED_AGAIN).await? >= lost)
        })
        .await
}
