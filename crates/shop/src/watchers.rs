//! `shop watchers`: what thousands cost who watch an order that does not move.
//!
//! READY orders wait to be collected, and nothing happens to them meanwhile: they are what is watched.
//! First without watchers and then with them, the shop is left alone and is ordered in, so that what
//! they cost stands beside what it costs without. Then some are collected, each of which has to reach
//! its watcher, and at last reception is started again under all of them.
//!
//! Guarantee: it fails unless every watcher is told of its order's end, and every other one watches
//! on after the restart. Not guaranteed: that the watchers cost the shop nothing else; they run in
//! this process, on the same machine.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use proto::reception::v1::{
    CollectOrderRequest, ListOrdersRequest, Order, OrderState,
    reception_service_client::ReceptionServiceClient,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use crate::{
    closing,
    customers::History,
    dir::ShopDir,
    load::{self, Demand, cost::Meter},
    lock,
    order::explain,
    part::Part,
    progress::Progress,
    state::{State, StateFile},
    up,
};

/// Those who watch.
mod crowd;
/// The figures, for people and for programs.
mod report;

use crowd::Crowd;
use report::{Ordered, Report, Restart};

/// Less than what a server allows on one connection.
const MOST_ON_A_CONNECTION: u32 = 1_000;
/// How long they may take to watch, all of them, and a change to reach its watcher.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Customers who order while all come back to watch.
const MEANWHILE: u32 = 8;

/// What `--help` says below the options.
const HELP: &str = "\
Meant for a shop that serves nothing but measurements, such as the one of `make bench`: it is ordered in, \
orders are collected, and its reception is stopped and started again. There must be as many READY orders \
as watchers; `shop fill` stores some. Idle means that nobody orders for `--idle-seconds`: twice, without \
watchers and with them. So is the shop loaded, for `--seconds`, by other customers than those who watch. \
Fails if the books are wrong after that, if a change does not reach its watcher, or if anybody does not \
watch again after the restart.";

/// How many watch, and what happens meanwhile.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// How many watch, each another order.
    #[arg(long, default_value_t = 5_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    watchers: u32,
    /// Over how many connections they do.
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// For how long the shop is left alone.
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_seconds: u64,
    /// How many of the orders are collected, one after the other.
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    changes: u32,
    #[command(flatten)]
    demand: Demand,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Measures in an open shop, and prints the figures.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let measured = stop.run_until_cancelled(measure(&options, &dir)).await;
    let report = measured.context("interrupted; nothing was measured")??;
    anstream::println!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(options: &Options, dir: &ShopDir) -> Result<Report> {
    let most = options.connections * MOST_ON_A_CONNECTION;
    ensure!(
        options.watchers <= most,
        "{} connections carry {most} streams at most",
        options.connections
    );
    ensure!(
        options.changes <= options.watchers,
        "each change needs a watcher"
    );
    let state = State::load(dir)?;
    let reception = state
        .alive(Part::Reception)
        .and(state.addresses.get(&Part::Reception));
    let reception = reception.context("the shop is not open; `shop up --detach --brew-scale 0`")?;
    let bench = Bench {
        options,
        dir,
        url: format!("http://{reception}"),
        progress: Progress::on_stderr(),
    };
    bench.measure(&state).await
}

struct Bench<'a> {
    options: &'a Options,
    dir: &'a ShopDir,
    url: String,
    progress: Progress,
}

impl Bench<'_> {
    async fn measure(&self, state: &State) -> Result<Report> {
        let orders = self.ready_orders().await?;
        let ordered_before = self.order().await?;
        let idle_before = self.idle(state, "without watchers").await;
        let mut crowd = Crowd::new(&self.url, self.options.connections)?;
        let (before, began) = (memory_mib(state), Instant::now());
        let step = self.progress.step("opening the streams");
        crowd.watch(&orders);
        self.all_watch(&mut crowd, self.options.watchers).await?;
        let opening = began.elapsed();
        step.done("all watch");
        let after = memory_mib(state);
        let heard = crowd.heartbeats();
        let idle_with = self.idle(state, "with them").await;
        let heartbeats = crowd.heartbeats() - heard;
        let ordered_with = self.order().await?;
        let changes = self.changes(&mut crowd, &orders).await?;
        let restart = self.restart(&mut crowd).await?;
        Ok(Report {
            watchers: self.options.watchers,
            connections: self.options.connections,
            opening_seconds: opening.as_secs_f64(),
            reception_mib: [before, after],
            idle_seconds: self.options.idle_seconds,
            idle: [idle_before, idle_with],
            heartbeats,
            ordered: [ordered_before, ordered_with],
            change_us: changes.into(),
            restart,
        })
    }

    /// As many as are watched, the newest first.
    async fn ready_orders(&self) -> Result<Vec<Order>> {
        let wanted = usize::try_from(self.options.watchers)?;
        let (mut client, mut orders) = (self.client()?, Vec::new());
        let mut page = ListOrdersRequest {
            page_size: 100,
            state: OrderState::Ready.into(),
            ..Default::default()
        };
        while orders.len() < wanted {
            let listed = client.list_orders(rpc::client::request(page.clone(), DEADLINE));
            let listed = listed.await.map_err(|status| explain::error(&status))?;
            let listed = listed.into_inner();
            orders.extend(listed.orders);
            page.page_token = listed.next_page_token;
            if page.page_token.is_empty() {
                break;
            }
        }
        orders.truncate(wanted);
        let found = orders.len();
        ensure!(
            found == wanted,
            "only {found} orders are READY; `shop fill --orders {wanted}` stores some"
        );
        Ok(orders)
    }

    async fn order(&self) -> Result<Ordered> {
        let (load, books) = load::load(&self.options.demand, self.dir, History::default()).await?;
        if !books.findings.is_empty() {
            bail!("the promise is broken: {books}");
        }
        Ok(Ordered::of(&load))
    }

    /// What the shop uses while nothing happens.
    async fn idle(&self, state: &State, how: &str) -> Vec<load::cost::Cost> {
        let seconds = self.options.idle_seconds;
        let step = self.progress.step(format!("{seconds} s idle {how}"));
        let meter = Meter::start(state, &[Part::Reception, Part::Postgres], report::OWN);
        sleep(Duration::from_secs(seconds)).await;
        step.done(&format!("idle {how}"));
        meter.stop()
    }

    async fn all_watch(&self, crowd: &mut Crowd, wanted: u32) -> Result<()> {
        let all = crowd.until_watching(wanted);
        let all = timeout(PATIENCE, all).await;
        all.with_context(|| {
            let now = crowd.watching();
            format!("{now} of {wanted} watch after {PATIENCE:?}")
        })
    }

    /// Microseconds from asking to collect an order to the word of it at its watcher.
    async fn changes(&self, crowd: &mut Crowd, orders: &[Order]) -> Result<Histogram<u64>> {
        let step = self.progress.step("collecting");
        let mut took = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        let mut client = self.client()?;
        for order in orders.iter().take(usize::try_from(self.options.changes)?) {
            let (order_id, began) = (order.order_id.clone(), Instant::now());
            let collect = CollectOrderRequest { order_id };
            let collected = client.collect_order(rpc::client::request(collect, DEADLINE));
            collected.await.map_err(|status| explain::error(&status))?;
            let heard = timeout(PATIENCE, crowd.told_of(&order.order_id)).await;
            let heard = heard.with_context(|| format!("nobody heard of {}", order.order_id))??;
            let micros = heard.saturating_duration_since(began).as_micros();
            took.saturating_record(u64::try_from(micros)?);
        }
        step.done("collected");
        Ok(took)
    }

    /// Stops reception and starts it; customers order as soon as it is ready, while all come back.
    async fn restart(&self, crowd: &mut Crowd) -> Result<Restart> {
        let began = Instant::now();
        self.end_reception().await?;
        let ended = began.elapsed();
        let again = up::Options::again(&State::load(self.dir)?);
        up::run(again, self.dir.clone()).await?;
        let (ready, refused) = (Instant::now(), crowd.refused());
        // Whoever was collected watches no more.
        let left = self.options.watchers - self.options.changes;
        let watching = async {
            let all = self.all_watch(crowd, left).await;
            (all, ready.elapsed())
        };
        let ((all, after), placed) = load::meanwhile(&self.url, MEANWHILE, watching).await?;
        all?;
        Ok(Restart {
            stop_seconds: ended.as_secs_f64(),
            ready_seconds: (ready - began).as_secs_f64(),
            all_watch_seconds: after.as_secs_f64(),
            refused: crowd.refused() - refused,
            placed: placed.acknowledged,
            place_max_ms: load::millis(placed.latency_us.max()),
            errors: placed.errors,
        })
    }

    async fn end_reception(&self) -> Result<()> {
        let _lock = lock::take(&self.dir.lock())?;
        let state = StateFile::open(self.dir)?;
        closing::end(&state, &self.progress, Part::Reception).await?;
        Ok(())
    }

    fn client(&self) -> Result<ReceptionServiceClient<Channel>> {
        Ok(ReceptionServiceClient::new(rpc::client::channel(
            &self.url,
        )?))
    }
}

fn memory_mib(state: &State) -> f64 {
    let costs = Meter::start(state, &[Part::Reception], report::OWN).stop();
    costs
        .iter()
        .find(|cost| cost.part == Part::Reception.name())
        .map_or(0.0, |cost| cost.memory_mib)
}
