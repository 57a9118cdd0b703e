//! What an operator sees, asked as a client asks.

use super::*;
use lifecycle::Stop;
use rpc::{
    breaker::{Options, Outcome},
    stream,
};
use std::collections::BTreeMap;
use tokio::time::Instant;
use tonic::Code;

const PAUSE: Duration = Duration::from_millis(100);
const HEARTBEAT: Duration = Duration::from_secs(15);

fn breaker(name: &'static str) -> Breaker {
    let options = Options {
        circuit_failures: 1,
        circuit_probes: 1,
        circuit_pause: PAUSE,
        circuit_longest_pause: PAUSE,
    };
    Breaker::new(name, &options, PAUSE)
}

fn end(breaker: &Breaker, outcome: Outcome) {
    let permit = breaker.admit();
    permit
        .unwrap_or_else(|error| panic!("{error}"))
        .report(outcome);
}

fn circuits(names: &[&'static str], stop: &Stop) -> (Vec<Breaker>, Circuits) {
    let breakers: Vec<Breaker> = names.iter().map(|name| breaker(name)).collect();
    let options = stream::Options {
        watch_heartbeat: HEARTBEAT,
        watch_patience: HEARTBEAT,
    };
    let circuits = Circuits::new(breakers.clone(), Streams::new(&options, stop));
    (breakers, circuits)
}

type Watched = BTreeMap<String, CircuitState>;

/// The next updates, which must come now: names and states.
async fn now(
    stream: &mut <Circuits as CircuitsService>::WatchCircuitsStream,
    count: usize,
) -> Watched {
    let mut seen = Watched::new();
    for _ in 0..count {
        let update = tokio::time::timeout(Duration::ZERO, stream.next()).await;
        let update = update.expect("it comes now").expect("the stream goes on");
        let Some(Update::Circuit(circuit)) = update.expect("it is well").update else {
            panic!("a heartbeat");
        };
        seen.insert(circuit.name.clone(), circuit.state());
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_every_circuit_at_first_and_then_each_change() {
    let (breakers, service) = circuits(&["a", "b"], &Stop::new());
    let stream = service
        .watch_circuits(Request::new(WatchCircuitsRequest {}))
        .await;
    let mut stream = stream.expect("it is well").into_inner();
    let of = |name: &str, state| (name.to_owned(), state);
    let closed = [of("a", CircuitState::Closed), of("b", CircuitState::Closed)];
    assert_eq!(now(&mut stream, 2).await, closed.into());
    end(&breakers[1], Outcome::Failure);
    assert_eq!(
        now(&mut stream, 1).await,
        [of("b", CircuitState::Open)].into()
    );
    tokio::time::advance(PAUSE).await;
    let _probe = breakers[1].admit();
    assert_eq!(
        now(&mut stream, 1).await,
        [of("b", CircuitState::HalfOpen)].into()
    );
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_that_the_stream_is_alive_and_that_the_process_stops() {
    let stop = Stop::new();
    let (_, service) = circuits(&["a"], &stop);
    let stream = service
        .watch_circuits(Request::new(WatchCircuitsRequest {}))
        .await;
    let mut stream = stream.expect("it is well").into_inner();
    now(&mut stream, 1).await;
    for _ in 0..2 {
        let begun = Instant::now();
        let update = stream
            .next()
            .await
            .expect("it goes on")
            .expect("it is well");
        assert!(
            matches!(update.update, Some(Update::Heartbeat(_))),
            "{update:?}"
        );
        assert_eq!(begun.elapsed(), HEARTBEAT);
    }
    stop.cancel();
    let last = stream.next().await.expect("a goodbye");
    assert_eq!(last.expect_err("an end").code(), Code::Unavailable);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn circuits_are_listed_in_pages_by_name() {
    let names = ["a", "b", "c"];
    let (breakers, service) = circuits(&names, &Stop::new());
    end(&breakers[2], Outcome::Failure);
    let (mut token, mut listed) = (String::new(), Vec::new());
    loop {
        let request = ListCircuitsRequest {
            page_size: 2,
            page_token: token,
        };
        let page = service.list_circuits(Request::new(request)).await;
        let page = page.expect("it is well").into_inner();
        assert!(page.circuits.len() <= 2);
        listed.extend(page.circuits);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let seen: Vec<&str> = listed.iter().map(|circuit| circuit.name.as_str()).collect();
    assert_eq!(seen, names);
    let open = &listed[2];
    assert_eq!(
        (open.state(), open.calls, open.failures),
        (CircuitState::Open, 1, 1)
    );
    assert!(open.next_probe_time.is_some() && listed[0].next_probe_time.is_none());
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let (_, service) = circuits(&["a"], &Stop::new());
    for (page_size, page_token) in [(-1, ""), (1, "nonsense")] {
        let request = ListCircuitsRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let refused = service.list_circuits(Request::new(request)).await;
        let code = refused.expect_err("it cannot be").code();
        assert_eq!(code, Code::InvalidArgument);
    }
}
