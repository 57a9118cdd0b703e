//! The version before this one: its binaries are rolled to these, back, and forward again.

use super::{Crowd, end, only_ready};
use crate::lifecycle::until_served;
use clap::Parser;
use shop::harness::{Hosted, Options, Shop};
use std::path::{Path, PathBuf};

#[derive(Parser)]
struct Settings {
    /// The folder of its binaries, as `make test-upgrade` builds them.
    #[arg(long, env = "PREVIOUS")]
    previous: PathBuf,
}

#[tokio::test]
#[ignore = "needs the binaries of the version before: make test-upgrade"]
async fn the_version_before_is_rolled_to_this_one_and_back_and_forward_under_load() {
    let Settings { previous } = Settings::parse_from(["test"]);
    let shop = prepare(&previous).await;
    let others = [&shop.reception, &shop.barista].map(|first| {
        let other = first.second().expect("there is a free port");
        other.becomes(Some(&previous));
        other
    });
    let [reception, barista] = &others;
    let instances = [
        &shop.payments,
        &shop.barista,
        barista,
        &shop.reception,
        reception,
    ];
    for instance in instances {
        instance.start().await.expect("the version before starts");
    }
    let crowd = Crowd::come(&shop, &[&shop.reception, reception]);
    until_served(&shop, 20).await;
    for version in [None, Some(&*previous), None] {
        roll(&shop, &instances, version).await;
    }
    crowd.leave().await;
    only_ready(&shop).await;
    end(shop, others).await;
}

/// A shop of the version before, to be started.
async fn prepare(previous: &Path) -> Shop {
    let options = Options {
        processes: true,
        ..Options::default()
    };
    let shop = Shop::prepare(options).await;
    let shop = shop.expect("databases and topics can be made");
    for first in [&shop.payments, &shop.barista, &shop.reception] {
        first.becomes(Some(previous));
    }
    shop
}

/// One instance after the other becomes this version; none is that of the workspace.
async fn roll(shop: &Shop, instances: &[&Hosted], version: Option<&Path>) {
    for instance in instances {
        instance.stop().await.expect("it ends well");
        instance.becomes(version);
        instance
            .start()
            .await
            .expect("it starts as another version");
        until_served(shop, 10).await;
    }
}
