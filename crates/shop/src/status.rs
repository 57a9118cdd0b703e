//! `shop status`: each part, where it is, which process, and whether it is ready.

use std::{env, path::Path, time::Duration};

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use futures::future::join_all;
use tokio::time::timeout;

use crate::{
    dir::ShopDir,
    part::Part,
    ports,
    probe::Probe,
    receiver,
    services::Service,
    state::{State, Telemetry},
};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// An order for grpcurl.
const ORDER: &str = r#"-d '{"customer_name":"Ada","items":[{"drink":"latte","size":"small","quantity":1}],"payment_token":"tok_visa"}' "#;

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Nothing to choose.
#[derive(clap::Args, Debug)]
pub struct Options {}

/// Prints the table. Exit code 1 unless every part is ready.
pub async fn run(_options: Options, dir: ShopDir) -> Result<()> {
    let state = State::load(&dir)?;
    if !state.is_open() {
        bail!("the shop is closed; `shop up` opens it");
    }
    let ready = print(&state).await?;
    print_hints(&state, "shop down");
    match ready {
        true => Ok(()),
        false => bail!(
            "not every part is ready; `shop logs NAME` says why, `shop up` starts what has ended"
        ),
    }
}

/// Prints the table and returns true if every part that orders need is ready.
pub async fn print(state: &State) -> Result<bool> {
    let shown = |part: &Part| *part != Part::Telemetry || state.telemetry == Telemetry::Own;
    let parts = Part::ALL.into_iter().filter(shown);
    let rows = join_all(parts.map(|part| row(state, part))).await;
    let head = Row {
        cells: ["part", "address", "pid", "state", "log"].map(str::to_owned),
        ready: true,
        dispensable: false,
    };
    let width = |column: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row.cells[column].len())
            .max()
            .unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    anstream::println!("{BOLD}{}{BOLD:#}", head.line(widths));
    for row in &rows {
        let style = if row.ready { GOOD } else { BAD };
        anstream::println!("{style}{}{style:#}", row.line(widths));
    }
    Ok(rows.iter().all(|row| row.ready || row.dispensable))
}

/// What to do next, for copying.
pub fn print_hints(state: &State, close: &str) {
    let shop = called();
    let width = shop.len() + 14;
    let commands = [
        ("order", "place an order and follow it"),
        ("trace ORDER", "see where its time went"),
        ("books", "check every order against drinks and charges"),
        ("logs NAME", "see what a part says"),
    ];
    anstream::println!();
    for (command, what) in commands {
        let command = format!("{shop} {command}");
        anstream::println!("  {command:width$}{what}");
    }
    let close = close.replace("shop", &shop);
    anstream::println!("  {close:width$}close the shop");
    let Some(reception) = state.addresses.get(&Part::Reception) else {
        return;
    };
    anstream::println!();
    for call in [
        "list",
        "coffeeshop.reception.v1.ReceptionService/ListMenuItems",
        "coffeeshop.reception.v1.ReceptionService/PlaceOrder",
    ] {
        let body = if call.ends_with("PlaceOrder") {
            ORDER
        } else {
            ""
        };
        anstream::println!("  grpcurl -plaintext {body}{reception} {call}");
    }
}

/// As this program was called: it is not on the PATH.
pub(crate) fn called() -> String {
    env::args().next().unwrap_or_else(|| "shop".to_owned())
}

struct Row {
    cells: [String; 5],
    ready: bool,
    /// Orders do not need it.
    dispensable: bool,
}

impl Row {
    fn line(&self, widths: [usize; 4]) -> String {
        let [part, address, pid, state, log] = &self.cells;
        let [a, b, c, d] = widths;
        format!("{part:a$}  {address:b$}  {pid:>c$}  {state:d$}  {log}")
    }
}

async fn row(state: &State, part: Part) -> Row {
    let (probe, address) = probe(state, part);
    let running = state.alive(part);
    let given = part == Part::Postgres && state.given.database_url.is_some()
        || part == Part::Kafka && state.given.kafka_brokers.is_some();
    let ready =
        (given || running.is_some()) && matches!(timeout(PATIENCE, probe.ask()).await, Ok(Ok(())));
    let word = match (ready, running, given) {
        (true, ..) => "ready",
        (false, None, false) => "not running",
        (false, ..) => "not ready",
    };
    let pid = running.map(|running| running.identity.pid.to_string());
    let log = running.map(|running| shorten(&running.log));
    let [pid, log] = [pid, log].map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
    Row {
        cells: [part.to_string(), address, pid, word.to_owned(), log],
        ready,
        dispensable: part == Part::Telemetry,
    }
}

fn probe(state: &State, part: Part) -> (Probe, String) {
    let address = state
        .addresses
        .get(&part)
        .copied()
        .unwrap_or_else(|| ports::loopback(0));
    let service = Service::ALL
        .into_iter()
        .find(|service| service.part() == part);
    match (service, part) {
        (Some(service), _) => (service.probe(address), address.to_string()),
        (None, Part::Kafka) => (
            Probe::Kafka(state.kafka_brokers.clone()),
            state.kafka_brokers.clone(),
        ),
        (None, Part::Telemetry) => (Probe::Grpc(address, receiver::HEALTH), address.to_string()),
        (None, _) => (
            Probe::Postgres(state.postgres_url.clone()),
            host(&state.postgres_url),
        ),
    }
}

/// `host:port` of a URL: its password is nobody's business.
fn host(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or("-");
    let port = url.as_ref().and_then(url::Url::port).unwrap_or(5432);
    format!("{host}:{port}")
}

/// Relative to the current folder where it lies below.
fn shorten(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}
