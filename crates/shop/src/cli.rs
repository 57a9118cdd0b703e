//! The command line. Each subcommand is a module with its `Options` and a `run`.

use anyhow::Result;

use crate::{
    books, circuits,
    dir::{self, ShopDir},
    dlq, down, drill, fill, guard, load, logs, messages, order, overhead, probe, provider,
    receiver, status, trace, up, watchers, wish,
};

/// The whole shop on one machine.
#[derive(clap::Parser, Debug)]
#[command(name = "shop", version)]
pub struct Cli {
    #[command(flatten)]
    dir: dir::Options,
    #[command(subcommand)]
    command: Command,
}

/// What `shop` can do.
#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Open the shop, or bring back what is missing.
    Up(up::Options),
    /// Close the shop; its data stay unless told otherwise.
    Down(down::Options),
    /// Show what runs where, and whether it is ready.
    Status(status::Options),
    /// Show what a part says.
    Logs(logs::Options),
    /// Place an order and watch it until it is READY.
    Order(order::Options),
    /// Show where an order spent its time: its trace, through all services.
    Trace(trace::Options),
    /// Ask to cancel an order, and see what becomes of it.
    Cancel(wish::Cancel),
    /// Take an order that is READY.
    Collect(wish::Which),
    /// Check every order against the drinks booked and the charges.
    Books(books::command::Options),
    /// Show the circuit breakers: which services are not asked, since when, until when
    Circuits(circuits::Options),
    /// Look at dead letters, replay them, or drop them.
    Dlq(dlq::Options),
    /// Tell payments how to misbehave, or show what it was told.
    Payments(provider::Options),
    /// Measure how many orders a second the open shop makes, and what they cost.
    Load(load::Options),
    /// Measure what tracing costs: the same load with none, a hundredth and all of the orders traced.
    Overhead(overhead::Options),
    /// Measure how many messages a second go from an outbox through Kafka into an inbox.
    Messages(messages::Options),
    /// Measure what it costs that thousands watch an order that does not move.
    Watchers(watchers::Options),
    /// Store orders that nobody placed, to measure a shop that has many.
    Fill(fill::Options),
    /// Take the spans of the open shop's services.
    #[command(hide = true)]
    Telemetry(receiver::command::Options),
    /// Break a shop of its own for real, and let the books judge.
    Drill(drill::Options),
    /// Ask a service once whether it is ready, and say so by the exit code.
    Probe(probe::command::Options),
    /// Run a program that dies with its parent.
    #[command(hide = true)]
    Guard(guard::Options),
}

impl Cli {
    /// Does what the command line says.
    pub async fn run(self) -> Result<()> {
        let dir = || ShopDir::find(&self.dir);
        match self.command {
            Command::Up(options) => up::run(options, dir()?).await,
            Command::Down(options) => down::run(options, dir()?).await,
            Command::Status(options) => status::run(options, dir()?).await,
            Command::Logs(options) => logs::run(options, dir()?).await,
            Command::Order(options) => order::run(options, &self.dir).await,
            Command::Trace(options) => trace::run(options, dir()?).await,
            Command::Cancel(options) => wish::cancel(options, &self.dir).await,
            Command::Collect(options) => wish::collect(options, &self.dir).await,
            Command::Books(options) => books::command::run(options, &self.dir).await,
            Command::Circuits(options) => circuits::run(options, &self.dir).await,
            Command::Dlq(options) => dlq::run(options, &self.dir).await,
            Command::Payments(options) => provider::run(options, &self.dir).await,
            Command::Load(options) => load::run(options, dir()?).await,
            Command::Overhead(options) => overhead::run(options, dir()?).await,
            Command::Messages(options) => messages::run(options, dir()?).await,
            Command::Watchers(options) => watchers::run(options, dir()?).await,
            Command::Fill(options) => fill::run(options, dir()?).await,
            Command::Telemetry(options) => receiver::command::run(options).await,
            Command::Drill(options) => drill::run(options, dir()?).await,
            Command::Probe(options) => probe::command::run(options).await,
            Command::Guard(options) => guard::run(options).await,
        }
    }
}
