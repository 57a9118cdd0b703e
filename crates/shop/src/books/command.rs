//! `shop books`: checks a shop by its databases. Its services need not run.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{Books, Ledgers, check};
use crate::{
    dir::ShopDir,
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
    /// Nothing is in flight any more: an order that is not finished is wrong, too
    #[arg(long)]
    settled: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Prints the books; an error if they are wrong.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let books = match &options.history {
        Some(path) => against(&dir, &history::read(path)?, options.settled).await?,
        None => read(&dir, options.settled).await?,
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
    let ledgers = ledgers(dir)?;
    let acknowledged =
        sqlx::query_scalar("select order_id from orders").fetch_all(&ledgers.reception);
    let acknowledged = acknowledged
        .await
        .context("reception's database does not answer; is the shop open? `shop status`")?;
    check(&ledgers, &acknowledged, settled).await
}

/// The books of a shop against what its customers were told.
async fn against(dir: &ShopDir, told: &Recorded, settled: bool) -> Result<Books> {
    let ledgers = ledgers(dir)?;
    let mut books = check(&ledgers, &told.acknowledged(), settled).await?;
    let reception = &ledgers.reception;
    books.compare_with(reception, &told.calls).await?;
    Ok(books)
}

/// Connections to the databases of an open shop.
pub fn ledgers(dir: &ShopDir) -> Result<Ledgers> {
    let state = State::load(dir)?;
    let pool = |part| -> Result<PgPool> {
        let url = state
            .database_urls
            .get(&part)
            .context("the shop was never open; `make up` opens it")?;
        Ok(PgPoolOptions::new().max_connections(2).connect_lazy(url)?)
    };
    Ok(Ledgers {
        reception: pool(Part::Reception)?,
        barista: pool(Part::Barista)?,
        payments: pool(Part::Payments)?,
    })
}
