//! `shop up`: opens the shop, or brings back what is missing of one that is open.
//!
//! Guarantee: it either ends with every part ready, or ends what it started itself and leaves alone
//! what had been running before. What a killed launcher left behind is taken over.
//!
//! In the foreground it stays until Ctrl-C and says when a part dies. A shop that another launcher
//! watches, or that was opened with `--detach`, is only mended.

use anyhow::{Result, anyhow, bail};
use lifecycle::Stop;

use crate::{
    closing,
    dir::ShopDir,
    lock,
    part::Part,
    process::Identity,
    progress::Progress,
    services::Service,
    state::{Given, State, StateFile},
    status,
};

/// Waiting in the foreground.
mod foreground;
/// The steps of opening.
mod opening;
/// Postgres and Kafka.
mod servers;
/// The services.
mod services;
/// What takes their spans.
mod telemetry;

use opening::Opening;

/// How to open.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Return when all is ready, and leave the shop running.
    #[arg(long, short)]
    detach: bool,
    /// Do not print where everything is; `shop status` does.
    #[arg(long, short)]
    quiet: bool,
    /// Factor on brew times; 0 brews at once [default: 1, or as it is if the shop is open].
    #[arg(long, env = "BREW_SCALE", value_name = "FACTOR", value_parser = brew_scale)]
    brew_scale: Option<f64>,
    /// Where reception listens [default: 50051].
    #[arg(long, value_name = "PORT")]
    reception_port: Option<u16>,
    /// Where barista listens [default: 50052].
    #[arg(long, value_name = "PORT")]
    barista_port: Option<u16>,
    /// Where payments listens [default: 50053].
    #[arg(long, value_name = "PORT")]
    payments_port: Option<u16>,
    /// A Postgres to use instead of an own one; the role must be able to create databases and roles.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// A Kafka to use instead of an own one.
    #[arg(long, env = "KAFKA_BROKERS", value_name = "HOST:PORT,…")]
    kafka_brokers: Option<String>,
    #[command(flatten)]
    telemetry: telemetry::Options,
}

impl Options {
    /// A shop to be measured, on any ports, that brews at once; a share of its orders is traced, and
    /// its metrics go to this endpoint, or it sends nothing at all.
    pub(crate) fn measured(traced: Option<f64>, metrics: &str) -> Self {
        Self {
            detach: true,
            quiet: true,
            brew_scale: Some(0.0),
            reception_port: Some(0),
            barista_port: Some(0),
            payments_port: Some(0),
            database_url: None,
            kafka_brokers: None,
            telemetry: telemetry::Options::measured(traced, metrics),
        }
    }

    /// An open shop as it is: what is missing comes back where it was.
    pub(crate) fn again(state: &State) -> Self {
        let port = |part| state.addresses.get(&part).map(std::net::SocketAddr::port);
        Self {
            detach: true,
            quiet: true,
            brew_scale: None,
            reception_port: port(Part::Reception),
            barista_port: port(Part::Barista),
            payments_port: port(Part::Payments),
            database_url: state.given.database_url.clone(),
            kafka_brokers: state.given.kafka_brokers.clone(),
            telemetry: telemetry::Options::default(),
        }
    }

    fn given(&self) -> Given {
        Given {
            database_url: self.database_url.clone(),
            kafka_brokers: self.kafka_brokers.clone(),
        }
    }
}

fn brew_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.0..=100.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

/// Opens the shop.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    dir.create()?;
    let progress = Progress::on_stderr();
    let watch = open(&options, &dir, &progress, &stop).await?;
    let state = State::load(&dir)?;
    if !options.quiet {
        status::print(&state).await?;
        status::print_hints(&state, if watch { "Ctrl-C" } else { "shop down" });
    }
    match watch {
        true => foreground::watch(&dir, &progress, &stop).await,
        false => Ok(()),
    }
}

/// Returns true if this launcher is to stay and watch.
async fn open(options: &Options, dir: &ShopDir, progress: &Progress, stop: &Stop) -> Result<bool> {
    let _lock = lock::take(&dir.lock())?;
    let state = StateFile::open(dir)?;
    closing::end_strays(&state.get(), dir).await?;
    let before = state.get();
    check_given(options, &before)?;
    let opening = Opening::new(options, dir, &state, progress)?;
    run_or_roll_back(&opening, stop).await?;
    if opening.started().is_empty() {
        progress.say("Everything was running already.");
    }
    let watch = !options.detach && (!before.is_open() || deserted(&before));
    if !watched(&before) {
        let own = Identity::own()?;
        state.update(|state| state.launcher = watch.then_some(own))?;
    }
    Ok(watch)
}

async fn run_or_roll_back(opening: &Opening<'_>, stop: &Stop) -> Result<()> {
    let result = tokio::select! {
        result = opening.run() => result,
        () = stop.cancelled() => Err(anyhow!("interrupted")),
    };
    let started = opening.started();
    if result.is_err() && !started.is_empty() {
        opening
            .progress
            .say("The shop could not be opened; ending what was started.");
        closing::close(opening.state, opening.progress, |part| {
            started.contains(&part)
        })
        .await?;
    }
    result
}

fn watched(before: &State) -> bool {
    before.launcher.is_some_and(|launcher| launcher.is_alive())
}

/// True if the launcher that watched this shop died without closing it.
fn deserted(before: &State) -> bool {
    before.launcher.is_some() && !watched(before)
}

/// Services that run on other servers would be mixed with servers that they do not use.
fn check_given(options: &Options, before: &State) -> Result<()> {
    let mut services = Service::ALL.into_iter();
    let open = services.any(|service| before.alive(service.part()).is_some());
    if open && options.given() != before.given {
        bail!(
            "the shop is open on other servers than DATABASE_URL and KAFKA_BROKERS say now; \
             close it first: `shop down`"
        );
    }
    Ok(())
}
