//! A barista's service is stopped with SIGSTOP with drinks in hand, sleeps until others have taken them
//! over, and wakes to book them. It is too late: the booking counts of whoever holds the drink, and
//! no order is READY before each of its drinks is made.

use tokio::time::timeout;

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "zombie-barista",
    source: include_str!("zombie_barista.rs"),
    opening: || {
        let opening = Opening::default().baristas(2);
        let opening = opening.with(Service::Barista, "DRINK_LEASE", "500ms");
        // Long enough that it wakes while others brew what it has brewed.
        opening.with(Service::Barista, "BREW_SCALE", "0.1")
    },
    acts: |scene| acts(scene).boxed_local(),
};

/// It may be stopped with nothing in hand, or nobody looks while others brew what it had.
const TRIES: usize = 10;
const LOOK: Duration = Duration::from_secs(3);

const TAKEN_OVER: &str = "select count(*) from drinks where lapses > 0";
const BREWED_AGAIN: &str = "select count(*) from drinks where lapses > 0 and state = 'BREWING'";
const READY_TOO_EARLY: &str = "select count(*) from ticket_history h \
    where h.state = 'READY' and exists (select from drinks d where d.order_id = h.order_id \
        and (d.made_time is null or d.made_time > h.time))";

async fn acts(scene: &Scene) -> Result<()> {
    let zombie = &scene.shop.barista;
    scene.steady().await?;

    let mut woken_in_time = 0;
    for _ in 0..TRIES {
        scene.breaks("barista stopped", zombie.pause()).await?;
        let taken_over = scene.until("its drinks to be taken over", async || {
            Ok(scene.count(Service::Barista, BREWED_AGAIN).await? > 0)
        });
        let taken_over = timeout(LOOK, taken_over).await;
        scene.heals(zombie.resume()).await?;
        if let Ok(taken_over) = taken_over {
            taken_over?;
            woken_in_time += 1;
        }
        if woken_in_time == 3 {
            break;
        }
        scene.lasts_for(0.1).await;
    }
    scene.bites("times that it woke while others brewed", woken_in_time);
    let taken_over = scene.count(Service::Barista, TAKEN_OVER).await?;
    scene.bites("drinks taken over", taken_over);
    let too_early = scene.count(Service::Barista, READY_TOO_EARLY).await?;
    scene.claim(
        "no order is READY before its drinks are made",
        too_early == 0,
        format!("{too_early} were"),
    );
    Ok(())
}
