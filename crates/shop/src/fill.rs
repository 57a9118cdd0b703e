//! `shop fill`: orders that nobody placed, to measure a shop that has many.
//!
//! What an order costs must not depend on how many were placed before. To see that, millions have
//! to be there, and placing them would take an hour. So they are written as the services would have
//! left them, READY and charged, straight into the three databases: with everything that stays, and
//! without what leaves by retention (outbox, inbox).
//!
//! Guarantee: the books are right afterwards, also after Ctrl-C. Not guaranteed: that after it is
//! killed, or refused by a database, which leaves some thousand orders in one and not in another.

use std::{future, ops::Range, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, stream};
use lifecycle::Stop;
use sqlx::{Connection as _, PgConnection};

use crate::{
    books::{self, Ledgers},
    dir::ShopDir,
    part::Part,
    progress::Progress,
    state::State,
};

/// Which orders: their ids, times, and what was ordered.
mod orders;
/// What was written, for people and for programs.
mod report;
/// The statements.
mod rows;

use orders::{Menu, Span};
use report::Report;

/// Orders in one transaction of each database: a fraction of a second's work.
const CHUNK: u64 = 10_000;
/// Chunks at the same time, each over a connection to each of the three databases.
const AT_ONCE: usize = 2;

/// What `--help` says below the options.
const HELP: &str = "\
Meant for a shop that serves nothing but measurements, such as the one of `make bench`. What is \
stored looks like orders that customers placed in the last month: READY and charged, each with its \
history, ticket, drink and payment, in the three databases. No event tells of them, and no command \
removes them but `shop down --wipe`. Takes 2 to 3 KB an order. The tables are vacuumed and analyzed \
afterwards, as those of a shop that has been open for long are. Interrupted with Ctrl-C, it leaves \
whole orders; killed, or refused by a database, it may leave some that `shop books` complains of.";

/// How many to store.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// How many orders to store, beside those that are there.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    orders: u64,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Fills an open shop and says what that took.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let state = State::load(&dir)?;
    ensure!(
        state.given.database_url.is_none(),
        "this shop's Postgres was given to it, and may serve others: nothing is made up in there"
    );
    ensure!(
        state.alive(Part::Postgres).is_some(),
        "the shop is not open; `shop up --detach`"
    );
    let fill = Fill {
        ledgers: books::command::ledgers(&dir)?,
        progress: Progress::on_stderr(),
    };
    let began = Instant::now();
    fill.store(options.orders, &stop).await?;
    let storing = began.elapsed();
    fill.tidy(&state.postgres_url).await?;
    let report = Report::read(&fill.ledgers, options.orders, storing, began.elapsed()).await?;
    anstream::println!("{report}");
    if let Some(path) = options.json {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Where to, and who is told.
struct Fill {
    ledgers: Ledgers,
    progress: Progress,
}

impl Fill {
    /// Told to stop, or refused, it finishes the other chunks in hand: an order of those is in all
    /// three databases.
    async fn store(&self, orders: u64, stop: &Stop) -> Result<()> {
        let (menu, span) = (Menu::read(&self.ledgers).await?, Span::past(orders));
        let mut step = self.progress.step(format!("storing {orders} orders"));
        let (began, mut stored) = (Instant::now(), 0);
        let (stop, mut refused) = (stop.child_token(), None);
        let mut storing = stream::iter(chunks(orders))
            .take_while(|_| future::ready(!stop.is_cancelled()))
            .map(|chunk| rows::store(&self.ledgers, &menu, span.ids(chunk)))
            .buffer_unordered(AT_ONCE);
        while let Some(chunk) = storing.next().await {
            match chunk {
                Ok(chunk) => stored += chunk,
                Err(error) => {
                    stop.cancel();
                    refused = refused.or(Some(error));
                }
            }
            let rate = report::rate(stored, began.elapsed());
            step.now(&format!("{stored} of {orders} orders stored, {rate:.0} /s"));
        }
        if let Some(error) = refused {
            return Err(error).context("cannot store orders");
        }
        ensure!(
            stored == orders,
            "interrupted: {stored} orders are stored, and stay"
        );
        step.done(&format!("{orders} orders are stored"));
        Ok(())
    }

    /// Does now what autovacuum and the checkpointer would do in the middle of the measurement.
    async fn tidy(&self, admin_url: &str) -> Result<()> {
        let step = self.progress.step("vacuuming and analyzing");
        rows::vacuum(&self.ledgers).await?;
        let mut admin = PgConnection::connect(admin_url)
            .await
            .context("cannot reach Postgres")?;
        sqlx::query("checkpoint").execute(&mut admin).await?;
        admin.close().await?;
        step.done("the tables are vacuumed and analyzed");
        Ok(())
    }
}

fn chunks(orders: u64) -> impl Iterator<Item = Range<u64>> {
    let begins = (0..orders).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX));
    begins.map(move |begin| begin..orders.min(begin + CHUNK))
}
