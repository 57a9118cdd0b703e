//! `CircuitsService`: wire to domain, and nothing else.

use futures::{Stream, StreamExt as _, stream};
use proto::operations::v1::{
    self as wire, CircuitState, Heartbeat, ListCircuitsRequest, ListCircuitsResponse,
    WatchCircuitsRequest, WatchCircuitsResponse,
    circuits_service_server::{CircuitsService, CircuitsServiceServer},
    watch_circuits_response::Update,
};
use rpc::{
    admission::Admission,
    breaker::{Breaker, Circuit, State},
    page,
    server::MAX_REQUEST_BYTES,
    status::Violations,
    stream::Streams,
};
use std::{
    pin::Pin,
    time::{Duration, SystemTime},
};
use tokio::time::interval;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

/// They are screens of operators.
const MAX_WATCHING: u16 = 64;
/// The call, for its page tokens: it has no filters.
const PAGES: &str = "ListCircuits";

/// `CircuitsService` with all circuits of this process, to be added to a server.
pub fn service(
    mut circuits: Vec<Breaker>,
    streams: Streams,
) -> CircuitsServiceServer<impl CircuitsService> {
    circuits.sort_by_key(|breaker| breaker.circuit().name);
    CircuitsServiceServer::new(Circuits::new(circuits, streams))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Circuits {
    /// By name.
    circuits: Vec<Breaker>,
    /// Of `WatchCircuits`.
    door: Admission,
    streams: Streams,
}

impl Circuits {
    fn new(circuits: Vec<Breaker>, streams: Streams) -> Self {
        let door = Admission::new(MAX_WATCHING);
        Self {
            circuits,
            door,
            streams,
        }
    }
}

#[tonic::async_trait]
impl CircuitsService for Circuits {
    async fn list_circuits(
        &self,
        request: Request<ListCircuitsRequest>,
    ) -> Result<Response<ListCircuitsResponse>, Status> {
        let (after, size) = list(&request.into_inner())?;
        let circuits = self.circuits.iter().map(Breaker::circuit);
        let mut rest = circuits
            .filter(|circuit| circuit.name > after.as_str())
            .peekable();
        let circuits: Vec<Circuit> = rest.by_ref().take(size).collect();
        let next_page_token = match (circuits.last(), rest.peek()) {
            (Some(last), Some(_)) => page::encode(PAGES, last.name),
            _ => String::new(),
        };
        Ok(Response::new(ListCircuitsResponse {
            circuits: circuits.into_iter().map(circuit).collect(),
            next_page_token,
        }))
    }

    type WatchCircuitsStream =
        Pin<Box<dyn Stream<Item = Result<WatchCircuitsResponse, Status>> + Send>>;

    async fn watch_circuits(
        &self,
        _: Request<WatchCircuitsRequest>,
    ) -> Result<Response<Self::WatchCircuitsStream>, Status> {
        let inside = self.door.admit()?;
        let updates = updates(self.circuits.clone(), self.streams.heartbeat).map(move |update| {
            // Moved in here, it lives as long as the stream.
            let _ = &inside;
            Ok(update)
        });
        let updates = self.streams.until_stop(updates);
        Ok(Response::new(updates.boxed()))
    }
}

/// The name after which the page begins, and how many circuits it has.
fn list(request: &ListCircuitsRequest) -> Result<(String, usize), Status> {
    let mut violations = Violations::new();
    let token = &request.page_token;
    let after = page::decode(PAGES, token);
    if after.is_none() && !token.is_empty() {
        violations.add("page_token", "must be the next_page_token of this list");
    }
    let size = page::size(request.page_size).unwrap_or_else(|| {
        violations.add("page_size", "must not be negative");
        0
    });
    violations.into_result()?;
    let size = usize::try_from(size).unwrap_or_default();
    Ok((after.unwrap_or_default(), size))
}

/// Every circuit, and each one again that changes. A circuit is read when the watcher asks for the
/// next update: nothing is buffered, and a slow watcher gets the latest.
fn updates(
    circuits: Vec<Breaker>,
    heartbeat: Duration,
) -> impl Stream<Item = WatchCircuitsResponse> {
    let each = circuits.into_iter().map(|breaker| {
        // Begins with a change that is none: the circuit as it is.
        let changes = WatchStream::new(breaker.changes());
        changes.map(move |()| breaker.circuit())
    });
    // Begins anew with each update.
    let heartbeats = interval(heartbeat);
    let changes = stream::select_all(each);
    tokio_stream::StreamExt::timeout_repeating(changes, heartbeats).map(|changed| {
        WatchCircuitsResponse {
            update: Some(match changed {
                Ok(changed) => Update::Circuit(circuit(changed)),
                Err(_) => Update::Heartbeat(Heartbeat {
                    time: Some(SystemTime::now().into()),
                }),
            }),
        }
    })
}

fn circuit(circuit: Circuit) -> wire::Circuit {
    wire::Circuit {
        name: circuit.name.to_owned(),
        state: state(circuit.state).into(),
        since_time: Some(circuit.since.into()),
        calls: count(circuit.calls),
        failures: count(circuit.failures),
        rejected: count(circuit.rejected),
        next_probe_time: circuit.next_probe.map(Into::into),
    }
}

fn state(state: State) -> CircuitState {
    match state {
        State::Closed => CircuitState::Closed,
        State::Open => CircuitState::Open,
        State::HalfOpen => CircuitState::HalfOpen,
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
