//! The payment provider charges, and its reply is lost on the way. Nobody asks whether it did: the
//! charge is asked for again with the same key, which is decided already. Nobody is charged twice.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "payments-reply-lost",
    source: include_str!("payments_reply_lost.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

const CHARGED_AND_UNDECIDED: &str = "select count(*) from payments where state = 'CHARGED'";
const UNDECIDED: &str = "select count(*) from orders where state = 'AWAITING_PAYMENT'";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let lose = BehaviorRule {
        kind: BehaviorKind::LoseReply.into(),
        ..BehaviorRule::default()
    };
    scene
        .breaks("replies lost", scene.tell_payments([lose]))
        .await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim("every call is answered OK", calls.not_ok() == 0, &calls);
    let charges = scene
        .count(Service::Payments, CHARGED_AND_UNDECIDED)
        .await?;
    let undecided = scene.count(Service::Reception, UNDECIDED).await?;
    let stored = scene
        .count(Service::Reception, "select count(*) from orders")
        .await?;
    scene.bites(
        "charges that reception does not know of",
        (charges + undecided).saturating_sub(stored),
    );

    scene.heals(scene.tell_payments([])).await
}
