//! The promises of the whole shop, a file each, against a real Postgres and a real Kafka.
//!
//! Each test opens a shop of its own and closes it, and closing checks the books: whatever a test is
//! about, no acknowledged order may be lost, made twice or charged twice in it. A machine that is slow
//! needs `SHOP_PATIENCE`; to see what services log, set `RUST_LOG` and `--nocapture`.

// The books see what is wrong.
mod books;
// Drinks are leased, and booked once.
mod brewing;
// From PlaceOrder to READY, and all that can be asked on the way.
mod order_journey;
// Whatever dies, every acknowledged order is made once and charged once.
mod processes;
// A key is decided once, whatever the provider is told to do.
mod payments;

use shop::harness::{Options, Shop};
use std::sync::Once;
use tracing_subscriber::EnvFilter;

/// A whole shop that shares its servers with the other tests.
async fn open() -> Shop {
    open_with(Options::default()).await
}

/// A shop with options.
async fn open_with(options: Options) -> Shop {
    static LOGS: Once = Once::new();
    LOGS.call_once(|| {
        let filter = EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .init();
    });
    Shop::open(options)
        .await
        .unwrap_or_else(|error| panic!("the shop does not open: {error:#}"))
}
