//! Five times as many customers come as usual, more than twice as many as reception takes. Those for
//! whom there is no place are refused at once, so that those inside are answered in time, and whoever
//! was told OK gets their coffee.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "overload",
    source: include_str!("overload.rs"),
    opening: || Opening::default().with(Service::Reception, "MAX_PLACING", "8"),
    acts: |scene| acts(scene).boxed_local(),
};

/// Places are taken for at least as long as a charge takes: twice the usual rate fills them.
const PLACES: u32 = 8;
const TIMES: u32 = 5;

async fn acts(scene: &Scene) -> Result<()> {
    let latency = (Duration::from_secs(1) * PLACES / (2 * scene.rate())).min(LONGEST);
    let slow = BehaviorRule {
        kind: BehaviorKind::Latency.into(),
        latency: latency.try_into().ok(),
        ..BehaviorRule::default()
    };
    scene.tell_payments([slow]).await?;
    scene.steady().await?;

    let more = scene.rate() * (TIMES - 1);
    let rush = scene
        .breaks("five times the customers", async {
            Ok(scene.more_come(more).await)
        })
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    let refused = calls.refused();
    let (served, half) = (calls.oks(), refused.median());
    // A bound in milliseconds would measure the machine.
    scene.claim(
        "to be refused takes less than half of what it takes to be served",
        half * 2 < served.median(),
        format!("{half:?}, {:?}", served.median()),
    );
    scene.claim_of(&calls, "nobody waits for their deadline", Calls::in_time);
    scene.bites("calls refused", refused.answered() as u64);

    let leave = async {
        rush.cancel();
        scene.tell_payments([]).await
    };
    scene.heals(leave).await
}

/// Less than the circuit takes for a failure.
const LONGEST: Duration = Duration::from_millis(500);
