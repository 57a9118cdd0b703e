//! There is no recipe for tea any more: orders with tea fail, and their money goes back. Half of the
//! provider's replies are lost, so refunds are asked for again, with the same key. Everybody has
//! their money back once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "refund-reply-lost",
    source: include_str!("refund_reply_lost.rs"),
    // Each lost reply is then a new call, by whoever finds the refund owed.
    opening: || Opening::default().with(Service::Reception, "CALL_ATTEMPTS", "1"),
    acts: |scene| acts(scene).boxed_local(),
};

/// With the bug planted the provider's book has to let it pass, too. This database goes with the drill.
const GIVEN_BACK_TWICE: &str = "alter table refunds drop constraint refunds_payment_id_key";
const NO_TEA: &str = "delete from recipes where drink = 'tea'";
const ASKED_AGAIN: &str = "select count(*) from orders \
    where state = 'FAILED' and refund_state <> 'NOT_NEEDED' and settle_attempts > 1";

async fn acts(scene: &Scene) -> Result<()> {
    if ::planted::bug(::planted::Bug::RefundTwice) {
        scene.execute(Service::Payments, GIVEN_BACK_TWICE).await?;
    }
    scene.steady().await?;

    let no_tea = async {
        sqlx::query(NO_TEA)
            .execute(&scene.shop.barista_pool())
            .await?;
        scene.tell_payments([loses_replies(0.5)]).await
    };
    scene.breaks("no tea, and replies lost", no_tea).await?;
    scene.lasts().await;
    scene
        .until("a refund to be asked for again", async || {
            Ok(scene.count(Service::Reception, ASKED_AGAIN).await? > 0)
        })
        .await?;
    let again = scene.count(Service::Reception, ASKED_AGAIN).await?;
    scene.bites("refunds asked for again", again);

    scene.heals(scene.tell_payments([])).await
}
