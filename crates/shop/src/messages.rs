//! `shop messages`: how many messages a second go from an outbox through Kafka into an inbox.
//!
//! What services say to each other, without the services: events are appended in transactions,
//! relays publish them, an inbox handles them, and the handling does nothing. So the figures are what
//! the pattern itself costs, on the shop's own Postgres and Kafka.
//!
//! Guarantee: it fails unless each event was handled once, and it leaves nothing behind, also after
//! Ctrl-C. Not guaranteed: that after `kill -9`, which leaves a database and a topic, both named
//! `messages_…`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lifecycle::{Stop, Tasks};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    dir::ShopDir,
    load::cost::Meter,
    part::Part,
    progress::{Progress, Step},
    state::State,
};

/// A handler that only counts.
mod counting;
/// The figures, for people and for programs.
mod report;
/// A database and a topic for one run.
mod scratch;
/// Whoever appends events, and the relay beside it.
mod writing;

use counting::Counting;
use report::{Report, Run};
use scratch::Scratch;
use writing::Writer;

/// Messages before the clock starts: the consumer has its partitions, and statements their plans.
const WARM_UP: u64 = 1_000;
/// Nothing was handled for so long: something is wrong.
const STALLED: Duration = Duration::from_secs(30);
/// How long relays and inbox may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// What `--help` says below the options.
const HELP: &str = "\
Appends events of orders that nobody placed to an outbox, in transactions of 64, has relays publish \
them, and an inbox receive them, all in this process, on the Postgres and the Kafka of the open \
shop, in a database and a topic of their own, which are removed at the end, also after Ctrl-C. \
Prints for each number of relays how many events a second were appended meanwhile, how many went \
all the way from the first append to the last one handled, and what that cost. Fails unless each was \
handled once.";

/// How many, and by how many relays.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// How many messages.
    #[arg(long, default_value_t = 100_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    messages: u64,
    /// How many relays share the outbox, each as in a process of its own; a run for each number.
    #[arg(long, default_values_t = [1, 2], value_delimiter = ',', value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=8))]
    relays: Vec<u16>,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Measures in an open shop, beside its services, and prints the figures; an error unless each
/// message was handled once.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let state = State::load(&dir)?;
    ensure!(
        state.is_open(),
        "the shop is not open; `shop up --detach --brew-scale 0`"
    );
    let progress = Progress::on_stderr();
    let mut runs = Vec::new();
    for relays in options.relays {
        let bench = Bench {
            state: &state,
            scratch: Scratch::open(&state).await?,
            relays,
            messages: options.messages,
        };
        let measured = bench.measure(&stop, &progress).await;
        let removed = bench.scratch.remove().await;
        runs.push(measured?);
        removed?;
    }
    let report = Report::new(options.messages, runs);
    anstream::println!("{report}");
    if let Some(path) = options.json {
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One run.
struct Bench<'a> {
    state: &'a State,
    scratch: Scratch,
    relays: u16,
    messages: u64,
}

impl Bench<'_> {
    /// The figures, once everything that ran has ended.
    async fn measure(&self, stop: &Stop, progress: &Progress) -> Result<Run> {
        let running = stop.child_token();
        let mut tasks = Tasks::new(running.clone());
        let mut writers = Vec::new();
        for _ in 0..self.relays {
            let (writer, relay) = self.scratch.writer()?;
            writers.push(writer);
            tasks.spawn("a relay", relay.run(running.clone()));
        }
        let (handler, handled) = Counting::new();
        let inbox = self.scratch.inbox(handler)?;
        tasks.spawn("the inbox", inbox.run(running.clone()));

        let clocked = async {
            let clocked = self.clocked(&writers, handled.clone(), progress);
            let clocked = running.run_until_cancelled(clocked).await;
            running.cancel();
            clocked
        };
        let (clocked, ended) = tokio::join!(clocked, tasks.join(GRACE));
        // A task that failed is why the clock was stopped.
        ended?;
        let run = clocked.context("interrupted; nothing was measured")??;
        let appended = WARM_UP + self.messages;
        self.scratch
            .handled_once(appended, *handled.borrow())
            .await?;
        Ok(run)
    }

    async fn clocked(
        &self,
        writers: &[Writer],
        mut handled: watch::Receiver<u64>,
        progress: &Progress,
    ) -> Result<Run> {
        let (relays, messages) = (self.relays, self.messages);
        let doing = format!("{messages} messages, relays: {relays}");
        let mut step = progress.step(&doing);
        self.until_shared().await?;
        writing::append(writers, WARM_UP).await?;
        until(&mut handled, WARM_UP, &mut step).await?;

        let meter = Meter::start(self.state, &[Part::Postgres, Part::Kafka], report::OWN);
        let began = Instant::now();
        writing::append(writers, messages).await?;
        let appending = began.elapsed();
        until(&mut handled, WARM_UP + messages, &mut step).await?;
        let run = Run::new(relays, messages, appending, began.elapsed(), meter.stop());
        step.done(&doing);
        Ok(run)
    }

    /// Waits until each relay has its fair share of the parts. Before that, the first has them all.
    async fn until_shared(&self) -> Result<()> {
        let deadline = Instant::now() + STALLED;
        loop {
            let shares = self.scratch.shares().await?;
            let fair = shares.iter().max().zip(shares.iter().min());
            let fair = fair.is_some_and(|(most, fewest)| most - fewest <= 1);
            if fair && shares.len() == usize::from(self.relays) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the relays do not share the outbox: each has of its parts {shares:?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until so many are handled, and says how far it is.
async fn until(handled: &mut watch::Receiver<u64>, all: u64, step: &mut Step) -> Result<()> {
    loop {
        let now = *handled.borrow_and_update();
        if now >= all {
            return Ok(());
        }
        step.now(&format!("{now} of {all} messages handled"));
        match timeout(STALLED, handled.changed()).await {
            Ok(changed) => changed.context("the inbox has ended")?,
            Err(_) => bail!("{now} of {all} messages were handled, and no other for {STALLED:?}"),
        }
    }
}
