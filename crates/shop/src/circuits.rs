//! `shop circuits`: the circuit breakers of the running shop, once or live.

use std::{future::Future, time::Duration};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use proto::operations::v1::{
    Circuit, CircuitState, ListCircuitsRequest, WatchCircuitsRequest, WatchCircuitsResponse,
    circuits_service_client::CircuitsServiceClient, watch_circuits_response::Update,
};
use tonic::{Request, Status, Streaming, transport::Channel};

use crate::{dir, order::explain, part::Part, state};

/// Words for the table.
mod row;

use row::{line, row};

/// How long the list may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// What to show.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Go on showing each change, until ctrl-C
    #[arg(long)]
    watch: bool,
    /// A reception elsewhere than the shop on this machine
    #[arg(long, env = "SHOP_RECEPTION", value_name = "URL")]
    reception: Option<String>,
}

/// Does what the command line says.
pub async fn run(options: Options, dir: &dir::Options) -> Result<()> {
    let url = state::url(options.reception.as_deref(), Part::Reception, dir)?;
    let client = CircuitsServiceClient::new(rpc::client::channel(&url)?);
    match options.watch {
        true => until_interrupted(watch(client)).await,
        false => {
            let circuits = list(client).await?;
            print_head();
            circuits.iter().for_each(print);
            Ok(())
        }
    }
}

async fn list(mut client: CircuitsServiceClient<Channel>) -> Result<Vec<Circuit>> {
    let (mut circuits, mut request) = (Vec::new(), ListCircuitsRequest::default());
    loop {
        let page = rpc::client::request(request.clone(), PATIENCE);
        let page = client.list_circuits(page).await;
        let page = page.map_err(|status| explain::error(&status))?.into_inner();
        circuits.extend(page.circuits);
        if page.next_page_token.is_empty() {
            return Ok(circuits);
        }
        request.page_token = page.next_page_token;
    }
}

/// Ctrl-C is how watching ends: that is no failure.
async fn until_interrupted(watching: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        watched = watching => watched,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot hear ctrl-C"),
    }
}

/// A line for each circuit, and for each change. A stream that ends, as when reception stops, is
/// opened again, and what has not changed meanwhile is not shown again. Reception must be there at
/// first.
async fn watch(mut client: CircuitsServiceClient<Channel>) -> Result<()> {
    let mut updates = open(&mut client)
        .await
        .map_err(|status| explain::error(&status))?;
    let mut shown = Vec::new();
    print_head();
    loop {
        let ended = follow(&mut updates, &mut shown).await;
        anstream::eprintln!("{}; watching on", ended.message());
        updates = loop {
            tokio::time::sleep(PAUSE).await;
            if let Ok(updates) = open(&mut client).await {
                break updates;
            }
        };
    }
}

async fn open(
    client: &mut CircuitsServiceClient<Channel>,
) -> Result<Streaming<WatchCircuitsResponse>, Status> {
    let watch = Request::new(WatchCircuitsRequest {});
    Ok(client.watch_circuits(watch).await?.into_inner())
}

/// Until the stream ends. Returns why.
async fn follow(
    updates: &mut Streaming<WatchCircuitsResponse>,
    shown: &mut Vec<Circuit>,
) -> Status {
    loop {
        match updates.message().await {
            Ok(Some(update)) => {
                if let Some(Update::Circuit(circuit)) = update.update {
                    show(circuit, shown);
                }
            }
            Ok(None) => return Status::unavailable("the stream ended"),
            Err(status) => return status,
        }
    }
}

fn show(circuit: Circuit, shown: &mut Vec<Circuit>) {
    let known =
        |other: &Circuit| other.name == circuit.name && other.since_time == circuit.since_time;
    if !shown.iter().any(known) {
        print(&circuit);
        shown.retain(|other| other.name != circuit.name);
        shown.push(circuit);
    }
}

fn print_head() {
    let bold = Style::new().bold();
    anstream::println!("{bold}{}{bold:#}", line(&row::HEAD.map(str::to_owned)));
}

fn print(circuit: &Circuit) {
    let color = match circuit.state() {
        CircuitState::Closed => AnsiColor::Green,
        CircuitState::HalfOpen => AnsiColor::Yellow,
        CircuitState::Open | CircuitState::Unspecified => AnsiColor::Red,
    };
    let style = color.on_default();
    anstream::println!("{style}{}{style:#}", line(&row(circuit)));
}
