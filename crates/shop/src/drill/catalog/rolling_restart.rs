//! Two instances of reception and two of the barista are restarted one after the other with SIGTERM
//! under load. Each ends with exit code 0, and no call fails that was begun. What fails was not sent,
//! or was refused by a process that is only starting: whoever asked is served at the other one.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "rolling-restart",
    source: include_str!("rolling_restart.rs"),
    opening: || Opening::default().receptions(2).baristas(2),
    acts: |scene| acts(scene).boxed_local(),
};

/// Long enough that calls are under way whenever somebody is told to end.
const CHARGED_AFTER: Duration = Duration::from_millis(300);

async fn acts(scene: &Scene) -> Result<()> {
    let slow = BehaviorRule {
        kind: BehaviorKind::Latency.into(),
        latency: CHARGED_AFTER.try_into().ok(),
        ..BehaviorRule::default()
    };
    scene.tell_payments([slow]).await?;
    scene.steady().await?;

    let from = scene.now_us();
    let mut met = 0;
    for service in [Service::Reception, Service::Barista] {
        for instance in scene.all(service) {
            let name = service.name();
            met += match service {
                Service::Reception => scene.calls_since(scene.now_us()).under_way(),
                _ => 0,
            };
            // `stop` fails on any other exit code than 0.
            scene
                .breaks(&format!("{name} restarted"), instance.stop())
                .await?;
            scene.heals(instance.start()).await?;
            scene.lasts_for(0.1).await;
        }
    }
    let calls = scene.calls_since(from);
    let claim = "every call that was begun is answered OK";
    scene.claim_of(&calls, claim, Calls::begun_ok);
    let tries = calls.most_tries();
    scene.claim(
        "nobody asks more than twice",
        tries <= 2,
        format!("{tries} tries at most"),
    );
    scene.bites(
        "calls under way when a reception was told to end",
        met as u64,
    );
    scene.tell_payments([]).await
}
