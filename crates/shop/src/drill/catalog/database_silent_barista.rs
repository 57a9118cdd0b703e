//! The barista's database alone falls silent, and closes no connection. Nobody who orders notices; what
//! is paid waits, and when the line is back every order is made, once.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "database-silent-barista",
    source: include_str!("database_silent_barista.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

async fn acts(scene: &Scene) -> Result<()> {
    let line = scene.shop.line(Line::Database(Service::Barista));
    scene.steady().await?;
    let kind = "the barista's database silent";
    scene.falls_silent(kind, line).await?;
    scene.sounds_again(line).await
}
