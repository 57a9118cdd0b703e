//! Every line is slow: databases and payments answer late, and to Kafka little passes at a time.
//! Everything takes longer, and nothing goes wrong: every call is answered OK.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "slow-network",
    source: include_str!("slow_network.rs"),
    opening: || Opening::default().lines().kafka_proxy(),
    acts: |scene| acts(scene).boxed_local(),
};

/// In each direction: an answer takes twice as long.
const DELAY: Duration = Duration::from_millis(10);
/// A few times what a shop that nothing slows down says, for each connection and direction.
const BYTES_A_SECOND: u32 = 256 * 1024;

async fn acts(scene: &Scene) -> Result<()> {
    let shop = &scene.shop;
    let databases = Service::ALL.map(|service| shop.line(Line::Database(service)));
    let delayed = databases.into_iter().chain([shop.line(Line::Payments)]);
    let (delayed, kafka) = (Vec::from_iter(delayed), shop.servers.kafka_proxy());
    scene.steady().await?;

    let slow = async {
        delayed.iter().for_each(|line| line.delay(DELAY));
        kafka.throttle(BYTES_A_SECOND);
        Ok(())
    };
    scene.breaks("all lines slow", slow).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    scene.claim_of(&calls, "no call waits for its deadline", Calls::in_time);
    let chunks = delayed.iter().map(|line| line.counts().delayed);
    scene.bites("chunks that came late", chunks.sum());
    scene.bites("chunks that Kafka got slowly", kafka.counts().delayed);

    let quick = async {
        delayed.iter().for_each(|line| line.heal());
        kafka.heal();
        Ok(())
    };
    scene.heals(quick).await
}
