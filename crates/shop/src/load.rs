//! `shop load`: how many orders a second, how fast, and at what cost.
//!
//! A closed loop: each client places one order after the other over its own connection, and a slow
//! answer slows its client down. So the figures are a capacity and the latencies at that capacity,
//! not what customers of a busy shop would see. With `--rate` it is an open one: customers come
//! whether or not the shop keeps up, and what it refuses is counted. An order counts when it is
//! READY: the clock runs until the last one is. The books are checked at the end, of the orders of the run.
//!
//! Before it begins, pgbench inserts single rows into the same Postgres, so that the figures come
//! with the speed of the disk that they were measured on.

/// Clients that place orders.
mod clients;
/// Beside the figures of another run.
mod compare;
/// CPU and memory of the parts.
pub(crate) mod cost;
/// The figures, for people and for programs.
mod report;
/// What the orders' rows say afterwards.
pub(crate) mod rows;
/// pgbench.
mod yardstick;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::Utc;
use lifecycle::Stop;
use tokio::time::Instant;

use crate::{
    books, customers::History, dir::ShopDir, part::Part, progress::Progress, state::State,
};
use cost::Meter;
pub(crate) use report::{Report, millis};

/// How long the last orders may take to become READY.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

/// How to load.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    demand: Demand,
    /// A pgbench, to be run on the same Postgres first.
    #[arg(long, value_name = "PATH")]
    pgbench: Option<PathBuf>,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write what customers were told to this new file, call by call: `shop books --history` reads it.
    #[arg(long, value_name = "PATH")]
    history: Option<PathBuf>,
    /// Compare with another run, of which this file has the figures.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
}

/// Who orders, and for how long.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Demand {
    /// Clients that order at the same time, each over its own connection.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Orders a second, over these connections, whether or not those before were answered: also more
    /// than the shop can make. Without it each client orders when it was answered.
    #[arg(long, value_name = "ORDERS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// For how long they order.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// For how long they order before that, uncounted.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    warmup: u64,
    /// How many baristas who can make anything to hire first. Each brews one drink at a time, so the
    /// four of a new shop are soon what everything waits for.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=10_000))]
    hire: i32,
}

/// Loads an open shop and prints the figures; an error if the books are wrong afterwards.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let interrupted = lifecycle::stop_on_signals()?;
    tokio::select! {
        measured = measure(options, dir) => measured,
        () = interrupted.cancelled() => bail!("interrupted; nothing was measured"),
    }
}

async fn measure(options: Options, dir: ShopDir) -> Result<()> {
    let state = State::load(&dir)?;
    ensure!(
        state.alive(Part::Reception).is_some(),
        "the shop is not open; `shop up --detach --brew-scale 0`"
    );
    let against = options.against.as_deref().map(compare::read).transpose()?;
    let progress = Progress::on_stderr();
    let yardstick = match &options.pgbench {
        Some(pgbench) => {
            let clients = options.demand.clients.min(yardstick::MOST_CLIENTS);
            Some(yardstick::run(pgbench, &state.postgres_url, clients, &progress).await?)
        }
        None => None,
    };
    let history = match &options.history {
        Some(path) => History::recorded(path)?,
        None => History::default(),
    };
    let (mut report, books) = load(&options.demand, &dir, history).await?;
    report.yardstick_per_second = yardstick;
    anstream::println!("{report}\n{books}");
    if let Some(other) = against {
        anstream::println!("\n{}", report.against(&other));
    }
    if let Some(path) = options.json {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match books.findings.len() {
        0 => Ok(()),
        findings => bail!("the promise is broken: {findings} findings"),
    }
}

/// Loads an open shop once: the figures, and what the books say of the orders of this run.
pub(crate) async fn load(
    demand: &Demand,
    dir: &ShopDir,
    history: History,
) -> Result<(Report, books::Books)> {
    let state = State::load(dir)?;
    let ledgers = books::command::ledgers(dir)?;
    rows::hire(&ledgers.barista, demand.hire).await?;
    let reception = state
        .addresses
        .get(&Part::Reception)
        .context("reception has no address")?;
    let url = format!("http://{reception}");
    let crowd = Crowd {
        url,
        clients: demand.clients,
        rate: demand.rate,
        history,
        progress: Progress::on_stderr(),
    };
    let stored_orders = rows::stored(&ledgers.reception).await?;
    let first = rows::first_id(Utc::now());
    crowd
        .order_for(Duration::from_secs(demand.warmup), "warming up")
        .await?;
    rows::until_ready(&ledgers.reception, DRAIN_PATIENCE).await?;

    let meter = Meter::start(&state, &Part::ALL, report::OWN);
    let (began, first_counted) = (Instant::now(), rows::first_id(Utc::now()));
    let placed = crowd
        .order_for(Duration::from_secs(demand.seconds), "ordering")
        .await?;
    let ordering = began.elapsed();
    rows::until_ready(&ledgers.reception, DRAIN_PATIENCE).await?;
    let cost = meter.stop();
    let ready = rows::ready_from(&ledgers.reception, first_counted).await?;
    // Of this run: what was stored before may be millions of orders.
    let books = books::check_from(&ledgers, first, &crowd.history.acknowledged(), true).await?;

    let shop = report::Shop {
        clients: demand.clients,
        rate: demand.rate,
        baristas: rows::baristas(&ledgers.barista).await?,
        brew_scale: state.brew_scale,
        tracing: state.tracing(),
        stored_orders,
    };
    let report = Report::new(shop, ordering, &placed, &ready, cost);
    Ok((report, books))
}

/// Lets clients order, one order after the other, while something else is done.
pub(crate) async fn meanwhile<T>(
    url: &str,
    clients: u32,
    what: impl Future<Output = T>,
) -> Result<(T, clients::Placed)> {
    let stop = Stop::new();
    let ordering = clients::run(url, clients, History::default(), stop.clone());
    let done = async {
        let done = what.await;
        stop.cancel();
        done
    };
    let (placed, done) = tokio::join!(ordering, done);
    Ok((done, placed?))
}

/// Clients, and what they were told.
struct Crowd {
    url: String,
    clients: u32,
    rate: Option<u32>,
    history: History,
    progress: Progress,
}

impl Crowd {
    async fn order_for(&self, time: Duration, what: &str) -> Result<clients::Placed> {
        let (clients, seconds) = (self.clients, time.as_secs());
        let step = self
            .progress
            .step(format!("{what} for {seconds} s with {clients} clients"));
        let stop = Stop::new();
        let (url, history, stopped) = (&self.url, self.history.clone(), stop.clone());
        let placed = async {
            match self.rate {
                Some(rate) => clients::at_rate(url, clients, rate, history, stopped).await,
                None => clients::run(url, clients, history, stopped).await,
            }
        };
        let timer = async {
            tokio::time::sleep(time).await;
            stop.cancel();
        };
        let (placed, ()) = tokio::join!(placed, timer);
        step.done(what);
        placed
    }
}
