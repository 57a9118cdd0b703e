//! `shop books`: checks a shop by its databases. Its services need not run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{Books, Ledgers, check};
use crate::{
    dir::{self, ShopDir},
    history::{self, Recorded},
    part::Part,
    state::State,
};

/// What to check.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// What customers were told: a file that `shop load` or `shop drill` has written. Without it
    /// every order that is stored counts as acknowledged
    #[arg(long, value_name = "PATH")]
    history: Option<PathBuf>,
    /// A folder with a file for each service, in which the URL of its database stands: the secrets of
    /// a shop elsewhere
    #[arg(long, env = "SHOP_DATABASES", value_name = "DIR")]
    databases: Option<PathBuf>,
    /// Nothing is in flight any more: an order that is not finished is wrong, too
    #[arg(long)]
    settled: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Prints the books; an error if they are wrong.
pub async fn run(options: Options, dir: &dir::Options) -> Result<()> {
    let ledgers = match &options.databases {
        Some(folder) => connect(|part| written(folder, part))?,
        None => ledgers(&ShopDir::find(dir)?)?,
    };
    let books = match &options.history {
        Some(path) => against(&ledgers, &history::read(path)?, options.settled).await?,
        None => stored(&ledgers, options.settled).await?,
    };
    match options.json {
        true => anstream::println!("{}", serde_json::to_string_pretty(&books)?),
        false => anstream::println!("{books}"),
    }
    match books.findings.len() {
        0 => Ok(()),
        findings => bail!("the promise is broken; findings: {findings}"),
    }
}

/// The books of an open shop. Every order that is stored counts as acknowledged.
pub async fn read(dir: &ShopDir, settled: bool) -> Result<Books> {
    stored(&ledgers(dir)?, settled).await
}

async fn stored(ledgers: &Ledgers, settled: bool) -> Result<Books> {
    let acknowledged =
        sqlx::query_scalar("select order_id from orders").fetch_all(&ledgers.reception);
    let acknowledged = acknowledged
        .await
        .context("reception's database does not answer; is the shop open?")?;
    check(ledgers, &acknowledged, settled).await
}

/// The books of a shop against what its customers were told.
async fn against(ledgers: &Ledgers, told: &Recorded, settled: bool) -> Result<Books> {
    let mut books = check(ledgers, &told.acknowledged(), settled).await?;
    let reception = &ledgers.reception;
    books.compare_with(reception, &told.calls).await?;
    Ok(books)
}

/// Connections to the databases of an open shop.
pub fn ledgers(dir: &ShopDir) -> Result<Ledgers> {
    let mut urls = State::load(dir)?.database_urls;
    connect(|part| {
        let url = urls.remove(&part);
        url.context("the shop was never open; `make up` opens it")
    })
}

/// What the services read as their `DATABASE_URL_FILE`.
fn written(folder: &Path, part: Part) -> Result<String> {
    let path = folder.join(part.name());
    let url = fs::read_to_string(&path);
    let url = url.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(url.trim().to_owned())
}

fn connect(mut url: impl FnMut(Part) -> Result<String>) -> Result<Ledgers> {
    let mut pool = |part| -> Result<PgPool> {
        let pool = PgPoolOptions::new().max_connections(2);
        let pool = pool.connect_lazy(&url(part)?);
        pool.with_context(|| format!("not the URL of a database of {part}"))
    };
    Ok(Ledgers {
        reception: pool(Part::Reception)?,
        barista: pool(Part::Barista)?,
        payments: pool(Part::Payments)?,
    })
}
