//! The provider's database alone falls silent, and closes no connection. Nobody who orders notices but
//! by an order that awaits its payment; what the ledger had decided is found out, and everybody is
//! charged once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "database-silent-payments",
    source: include_str!("database_silent_payments.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.line(Line::Database(Service::Payments));
    scene.steady().await?;
    let kind = "the provider's database silent";
    scene.falls_silent(kind, line).await?;
    let failed = scene.charges_failed();
    scene.bites("charges that failed or were refused", failed);
    scene.sounds_again(line).await
}
