//! Waiting for what must come, instead of sleeping and hoping.

use std::{fmt::Debug, sync::OnceLock, time::Duration};

use clap::Parser;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(20);

#[derive(Parser)]
struct Patience {
    /// How long a long outage lasts. The longer it is, the more it shows, and costs.
    #[arg(long, env = "SHOP_OUTAGE", default_value = "15s", value_parser = humantime::parse_duration)]
    outage: Duration,
    /// How long a test waits for what must come. A slow machine needs more.
    #[arg(long, env = "SHOP_PATIENCE", default_value = "30s", value_parser = humantime::parse_duration)]
    patience: Duration,
}

/// How long a test waits for what must come: `SHOP_PATIENCE`, 30 s unless set.
pub fn patience() -> Duration {
    settings().patience
}

/// How long a long outage lasts: `SHOP_OUTAGE`, 15 s unless set.
pub fn outage() -> Duration {
    settings().outage
}

fn settings() -> &'static Patience {
    static SETTINGS: OnceLock<Patience> = OnceLock::new();
    SETTINGS.get_or_init(|| Patience::parse_from(["test"]))
}

/// Looks again and again until `look` returns Ok.
///
/// # Panics
/// When patience is out, with what was seen last.
pub async fn eventually<T, Seen: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, Seen>,
) -> T {
    let deadline = Instant::now() + patience();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(
                Instant::now() < deadline,
                "waited {:?} for {what}; seen last: {seen:#?}",
                patience(),
            ),
        }
        sleep(PAUSE).await;
    }
}
