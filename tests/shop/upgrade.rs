//! Versions come and go under load, and so do their schemas: nobody who orders notices.
//!
//! docs/upgrading.md says what a release may change; what it says is shown here.

use crate::{lifecycle::until_served, second};
use crowd::Crowd;
use shop::{
    harness::{Hosted, Options, Shop},
    services::Service,
};
use tonic::Code;

/// Customers who order at several instances, and watch.
mod crowd;
/// One step of a schema, and what it costs those who use it.
mod migrating;
/// The version before this one, for real.
mod previous;
/// The schema of a version to come.
pub mod schema;

#[tokio::test]
async fn a_version_runs_and_starts_on_what_the_next_one_added_under_load() {
    let shop = crate::open_with(Options {
        processes: true,
        ..Options::default()
    })
    .await;
    let (reception, barista) = (second(&shop.reception).await, second(&shop.barista).await);
    let crowd = Crowd::come(&shop, &[&shop.reception, &reception]);
    until_served(&shop, 20).await;
    for service in Service::ALL {
        // Two instances of the next version start at the same time.
        tokio::join!(schema::next(&shop, service), schema::next(&shop, service));
        until_served(&shop, 10).await;
    }
    // Restarted while a release is rolled out, or taken back: on a schema that is newer than it.
    let instances = [&shop.reception, &reception, &shop.barista, &barista];
    for instance in instances.into_iter().chain([&shop.payments]) {
        restart(instance).await;
        until_served(&shop, 10).await;
    }
    crowd.leave().await;
    only_ready(&shop).await;
    end(shop, [reception, barista]).await;
}

async fn restart(instance: &Hosted) {
    // An error unless the exit code is 0.
    instance.stop().await.expect("it ends well");
    instance.start().await.expect("it starts again");
}

/// Everybody got what they ordered, and nobody was told worse than to ask again.
async fn only_ready(shop: &Shop) {
    let errors = shop.history.errors();
    let worse = errors
        .keys()
        .find(|code| **code != Code::Unavailable.description());
    assert_eq!(worse, None, "{errors:?}");
    shop.until_idle().await;
    let books = shop.books(true).await.expect("the databases are up");
    let acknowledged = shop.history.acknowledged().len();
    let ready = ("READY".to_owned(), acknowledged);
    assert!(books.summary.orders.contains(&ready), "{books}");
}

async fn end(shop: Shop, others: [Hosted; 2]) {
    for other in &others {
        other.stop().await.expect("it ends well");
    }
    shop.close().await;
}
