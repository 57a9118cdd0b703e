//! The connections to each service's database are cut in the middle of a transaction, one service
//! after the other: once so that the COMMIT is lost, and once so that the answer to it is, and nobody
//! knows whether it was done. Nothing is half done, and nothing is done twice.

use super::prelude::*;
use crate::fault::Lost;
use rand::seq::SliceRandom as _;

pub(super) const DRILL: Drill = Drill {
    name: "database-cut",
    source: include_str!("database_cut.rs"),
    opening: || Opening::default().lines(),
    acts: |scene| acts(scene).boxed_local(),
};

/// What a service says to its database in a transaction that matters, and at its end.
fn words(service: Service) -> &'static [&'static str] {
    match service {
        Service::Payments => &["EUR", "COMMIT"],
        Service::Barista => &["barista.v1.Ticket", "COMMIT"],
        Service::Reception => &["reception.v1.Order", "COMMIT"],
    }
}

async fn acts(scene: &Scene) -> Result<()> {
    let mut cuts: Vec<(Service, Lost)> = Service::ALL
        .into_iter()
        .flat_map(|service| [(service, Lost::Word), (service, Lost::Answer)])
        .collect();
    scene.draw(|dice| cuts.shuffle(dice));
    scene.steady().await?;

    let mut broken = 0;
    for (service, lost) in cuts {
        let line = scene.shop.line(Line::Database(service));
        let before = line.counts().broken;
        let cut = async {
            line.cut_at(words(service), lost);
            scene
                .until("somebody to commit", async || {
                    Ok(line.counts().broken > before)
                })
                .await
        };
        let kind = format!("{lost:?} of a COMMIT of {} lost", service.name());
        scene.breaks(&kind.to_lowercase(), cut).await?;
        scene.lasts_for(0.08).await;
        broken += line.counts().broken - before;
        let mended = async {
            line.heal();
            Ok(())
        };
        scene.heals(mended).await?;
        scene.lasts_for(0.08).await;
    }
    scene.bites("connections that were cut or refused", broken);
    Ok(())
}
