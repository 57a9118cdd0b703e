//! The payment provider charges, and its reply is lost on the way. Nobody asks whether it did: the
//! charge is asked for again with the same key, which is decided already. Nobody is charged twice.

use super::prelude::*;
use uuid::Uuid;

pub(super) const DRILL: Drill = Drill {
    name: "payments-reply-lost",
    source: include_str!("payments_reply_lost.rs"),
    opening: Opening::default,
    acts: |scene| acts(scene).boxed_local(),
};

/// For longer than a charge takes whose reply arrives.
const UNDECIDED: &str = "select order_id from orders \
    where state = 'AWAITING_PAYMENT' and create_time < now() - interval '1 second'";
const CHARGED: &str =
    "select count(*) from payments where state = 'CHARGED' and order_id = any($1)";

async fn acts(scene: &Scene) -> Result<()> {
    scene.steady().await?;

    let lost = scene.tell_payments([loses_replies(1.0)]);
    scene.breaks("replies lost", lost).await?;
    scene.lasts().await;
    let calls = scene.calls_since_break();
    scene.claim_of(&calls, "every call is answered OK", Calls::all_ok);
    let unknown = charged_unknown(scene).await?;
    scene.bites("charges that reception does not know of", unknown);

    scene.heals(scene.tell_payments([])).await
}

async fn charged_unknown(scene: &Scene) -> Result<u64> {
    let undecided = sqlx::query_scalar(UNDECIDED);
    let undecided: Vec<Uuid> = undecided.fetch_all(&scene.shop.reception_pool()).await?;
    let charged = sqlx::query_scalar::<_, i64>(CHARGED).bind(undecided);
    let charged = charged.fetch_one(&scene.shop.payments_pool()).await?;
    Ok(u64::try_from(charged)?)
}
