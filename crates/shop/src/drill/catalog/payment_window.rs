//! The provider charges, its replies are lost, and the time to pay runs out before anybody hears of it.
//! The orders are cancelled, their keys are closed when the provider can be heard again, and who was
//! charged has the money back.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payment-window",
    source: include_str!("payment_window.rs"),
    opening: || {
        let opening = Opening::default().with(Service::Reception, "PAYMENT_WINDOW", "2s");
        // The window has to be longer than a charge may take.
        let opening = opening.with(Service::Reception, "CHARGE_TIMEOUT", "500ms");
        opening.with(Service::Reception, "CALL_ATTEMPTS", "1")
    },
    acts: |scene| acts(scene).boxed_local(),
};

const CHARGED: &str = "select count(*) from payments where state = 'CHARGED'";
const KNOWN: &str = "select count(*) from orders where payment_state = 'CHARGED'";
const CANCELLED: &str = "select count(*) from orders where state = 'CANCELLED'";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let lost = scene.tell_payments([loses_replies(1.0)]);
    scene.breaks("replies lost", lost).await?;
    scene.lasts().await;
    scene
        .until("orders to be cancelled", async || {
            Ok(scene.count(Service::Reception, CANCELLED).await? > 0)
        })
        .await?;
    let charged = scene.count(Service::Payments, CHARGED).await?;
    let known = scene.count(Service::Reception, KNOWN).await?;
    scene.bites(
        "charges that reception does not know of",
        charged.saturating_sub(known),
    );

    scene.heals(scene.tell_payments([])).await
}
