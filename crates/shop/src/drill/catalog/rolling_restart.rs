//! Two instances of reception and two of the barista are restarted one after the other with SIGTERM
//! under load. Each ends with exit code 0, no call that was accepted fails, and whoever comes to a
//! closed door is served at the other one.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "rolling-restart",
    source: include_str!("rolling_restart.rs"),
    opening: || Opening::default().receptions(2).baristas(2),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let from = scene.now_us();
    let mut restarted = 0;
    for service in [Service::Reception, Service::Barista] {
        for instance in scene.all(service) {
            let name = service.name();
            // `stop` fails on any other exit code than 0.
            scene
                .breaks(&format!("{name} restarted"), instance.stop())
                .await?;
            scene.heals(instance.start()).await?;
            scene.lasts_for(0.1).await;
            restarted += 1;
        }
    }
    let calls = scene.calls_since(from);
    let unknown = calls.unknown();
    scene.claim("no call is of unknown outcome", unknown == 0, &calls);
    let tries = calls.most_tries();
    scene.claim(
        "nobody asks more than twice",
        tries <= 2,
        format!("{tries} tries at most"),
    );
    scene.bites("instances that ended with exit code 0", restarted);
    Ok(())
}
