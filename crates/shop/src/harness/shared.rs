//! Servers: shared by the tests of a process, or for one shop alone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::{
    dir::{self, ShopDir},
    servers::{Layout, Proxied, Servers},
};

/// Never closed by us, as nobody knows which test is the last: their guards end them with the process.
static SHARED: OnceCell<Arc<Servers>> = OnceCell::const_new();

/// The servers of this process, started by the first test that asks.
pub(super) async fn shared() -> Result<Arc<Servers>> {
    SHARED
        .get_or_try_init(async || open(&logs("")?, Proxied::default(), Layout::default()).await)
        .await
        .cloned()
}

/// Servers that only one shop uses.
pub(super) async fn own(logs: &Path, proxied: Proxied, layout: Layout) -> Result<Arc<Servers>> {
    open(logs, proxied, layout).await
}

async fn open(logs: &Path, proxied: Proxied, layout: Layout) -> Result<Arc<Servers>> {
    let servers = Servers::open_ephemeral(logs, proxied, layout).await?;
    Ok(Arc::new(servers))
}

/// Where a shop's processes log to.
pub(super) fn logs(folder: &str) -> Result<PathBuf> {
    Ok(ShopDir::find(&dir::Options::default())?
        .logs()
        .join("tests")
        .join(folder))
}
