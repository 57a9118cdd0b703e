//! What is down, what the caller of PlaceOrder is told, how soon, and what becomes of the order.
//!
//! One shop of real processes goes through the table from top to bottom. Each row breaks the real
//! thing, orders under its own name, mends it, and waits until nothing of it is left. In the end the
//! books are checked: whatever a row does not ask, no order was charged for nothing or made twice.

use crate::{circuits, open_with};
use faults::{Fault, Scene};
use proto::{
    operations::v1::CircuitState,
    reception::v1::{
        Order,
        OrderState::{AwaitingPayment, Declined, Paid, Ready},
        PlaceOrderRequest,
    },
};
use shop::{
    customers::latte,
    harness::{Collector, Options, eventually},
    services::Service,
};
use std::time::{Duration, Instant};
use told::{Answer, declined, in_doubt, later, orders};
use tonic::{Code, Status};

// How each thing is broken, and mended.
mod faults;
// What a caller is told.
mod told;

/// A row of the table.
struct Row {
    what: &'static str,
    fault: Fault,
    answer: Answer,
    within: Within,
    afterwards: Afterwards,
}

/// How many calls are made, and how long the median of them may take.
#[derive(Clone, Copy)]
struct Within {
    calls: usize,
    median: Duration,
}

/// What becomes of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// It stays as it was answered until all is well; then it is charged once, and made.
    Waits,
    /// It is charged once, and made.
    Made,
    /// It is over, and costs nothing. Asked again, the answer is the same.
    Over,
    /// There is none, and no charge. A retry is safe, and makes one.
    Nothing,
}

#[rustfmt::skip] // A table.
const TABLE: [Row; 24] = {
    use Afterwards::{Made, Nothing, Over, Waits};
    use Code::{ResourceExhausted, Unavailable};
    use Fault::*;
    const OVERLOADED: Answer = later(ResourceExhausted, "OVERLOADED");
    const STORE_AWAY: Answer = later(Unavailable, "STORE_UNAVAILABLE");
    [
    //  what is down                                 how it is broken                 the caller is told          within       afterwards
    row("Kafka: killed",                             KafkaKilled,                     orders(&[Paid]),            SOON,        Waits),
    row("Kafka: stopped",                            KafkaStopped,                    orders(&[Paid]),            SOON,        Waits),
    row("payments: killed",                          Killed(Service::Payments),       orders(&[AwaitingPayment]), SOON,        Waits),
    row("payments: stopped",                         Stopped(Service::Payments),      orders(&[AwaitingPayment]), IN_A_TRY,    Waits),
    row("payments: its Postgres",                    DatabaseOf(Service::Payments),   orders(&[AwaitingPayment]), SOON,        Waits),
    row("payments: fails",                           ProviderFails,                   orders(&[AwaitingPayment]), SOON,        Waits),
    row("payments: slow",                            ProviderSlow,                    orders(&[AwaitingPayment]), IN_A_TRY,    Waits),
    row("payments: flapping",                        ProviderFlaps,                   orders(&[AwaitingPayment, Paid]), IN_TURN, Made),
    row("payments: reply lost",                      RepliesLost,                     orders(&[AwaitingPayment]), SOON,        Made),
    row("payments: down, circuit open",              CircuitOpen,                     orders(&[AwaitingPayment]), AT_ONCE,     Waits),
    row("payments: declines",                        ProviderDeclines,                declined(),                 SOON,        Over),
    row("Postgres before the order: killed",         PostgresKilled,                  STORE_AWAY,                 SOON_EACH,   Nothing),
    row("Postgres before the order: cut off",        PostgresCut,                     STORE_AWAY,                 SOON_EACH,   Nothing),
    row("Postgres before the order: silent",         PostgresSilent,                  STORE_AWAY,                 SOON_EACH,   Nothing),
    row("Postgres at COMMIT: back in time",          CommitCutFor(BACK_IN),           orders(&[AwaitingPayment, Paid]), IN_TIME, Made),
    row("Postgres at COMMIT: gone, repeatable",      CommitCut,                       STORE_AWAY,                 IN_TIME,     Made),
    row("Postgres at COMMIT: gone, not repeatable",  CommitCutWithoutId,              in_doubt(),                 IN_TIME,     Made),
    row("Postgres after the order",                  RecordCut,                       orders(&[AwaitingPayment]), SOON,        Made),
    row("barista: killed",                           Killed(Service::Barista),        orders(&[Paid]),            SOON,        Waits),
    row("barista: stopped",                          Stopped(Service::Barista),       orders(&[Paid]),            SOON,        Waits),
    row("barista: its Postgres",                     DatabaseOf(Service::Barista),    orders(&[Paid]),            SOON,        Waits),
    row("too much load",                             AllPlacesTaken,                  OVERLOADED,                 AT_ONCE,     Nothing),
    row("collector: gone",                           CollectorGone,                   orders(&[Paid]),            SOON,        Made),
    row("collector: silent",                         CollectorSilent,                 orders(&[Paid]),            SOON,        Made),
    ]
};

/// The promise is 5 ms, and is a release build's. This is a debug build's, on a machine that others
/// use: the median was 15 ms, nearly all of it to store the order. That nobody is waited for is
/// asserted by its cause: while the circuit is open the provider is not asked, and calls inside outlast
/// those that are refused at the door.
const AT_ONCE: Within = Within {
    calls: 40,
    median: Duration::from_millis(100),
};
/// Within a second, wherever nobody is waited for but the database.
const SOON: Within = Within {
    calls: 1,
    median: Duration::from_secs(1),
};
/// The same of calls that leave nothing behind, and so can be made several times.
const SOON_EACH: Within = Within { calls: 3, ..SOON };
/// The same while the provider fails and goes well in turn.
const IN_TURN: Within = Within { calls: 8, ..SOON };
/// One try to charge, of 2 s, and what is around it.
const IN_A_TRY: Within = Within {
    calls: 1,
    median: Duration::from_secs(3),
};
/// The 5 s that a caller has who states no deadline, and the way back.
const IN_TIME: Within = Within {
    calls: 1,
    median: Duration::from_secs(6),
};
/// Long enough for a COMMIT to be tried again in vain.
const BACK_IN: Duration = Duration::from_millis(500);

const fn row(
    what: &'static str,
    fault: Fault,
    answer: Answer,
    within: Within,
    afterwards: Afterwards,
) -> Row {
    Row {
        what,
        fault,
        answer,
        within,
        afterwards,
    }
}

const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

#[tokio::test]
async fn whatever_is_down_callers_are_told_the_truth_in_time_and_no_order_is_lost() {
    let mut scene = open().await;
    // Connections are made at first use, and cost more in a debug build than all else here.
    let first = scene.shop.place(latte()).await;
    scene.shop.until_ready(&first).await;
    for row in &TABLE {
        row.play(&mut scene).await;
        at_rest(&scene).await;
    }
    scene.shop.close().await;
}

async fn open() -> Scene {
    let (collector, measured) = (Collector::open().await, Collector::open().await);
    let mut options = Options {
        processes: true,
        postgres_proxy: true,
        ..Options::default()
    };
    for service in Service::ALL {
        options = options
            .with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
            // What is dropped is counted where somebody still listens.
            .with(service, METRICS_ENDPOINT, &measured.endpoint)
            .with(service, "OTEL_METRIC_EXPORT_INTERVAL", "500")
            .with(service, "OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    }
    let options = options
        .with(
            Service::Reception,
            "MAX_PLACING",
            faults::PLACES.to_string(),
        )
        .with(Service::Reception, "CIRCUIT_PAUSE", "5s")
        .with(Service::Reception, "CIRCUIT_LONGEST_PAUSE", "5s");
    Scene::new(open_with(options).await, collector, measured)
}

impl Row {
    async fn play(&self, scene: &mut Scene) {
        let requests: Vec<_> = (0..self.within.calls).map(|_| self.request()).collect();
        scene.break_it(self.fault).await;
        let (answers, ()) = tokio::join!(ask(scene, &requests), scene.passes(self.fault));
        let (answers, mut times): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        times.sort();
        let median = times[times.len() / 2];
        println!("{:<44} {median:>10.1?}", self.what);
        for answer in &answers {
            self.answer.is(self.what, answer);
        }
        if self.afterwards == Afterwards::Waits {
            let answered: Vec<_> = answers.iter().flatten().map(Order::state).collect();
            assert_eq!(scene.states(self.what).await, answered, "{}", self.what);
        }
        scene.mend(self.fault).await;
        assert!(median <= self.within.median, "{}: {median:?}", self.what);
        self.end(scene, requests, &answers).await;
    }

    /// Each row's customer is called as the row.
    fn request(&self) -> PlaceOrderRequest {
        let mut request = PlaceOrderRequest {
            customer_name: self.what.to_owned(),
            ..latte()
        };
        if self.fault == Fault::CommitCutWithoutId {
            request.request_id.clear();
        }
        request
    }

    async fn end(
        &self,
        scene: &Scene,
        requests: Vec<PlaceOrderRequest>,
        answers: &[Result<Order, Status>],
    ) {
        let stored = scene.order_ids(self.what).await;
        for order_id in answers.iter().filter_map(told::order_id) {
            assert!(stored.contains(&order_id), "{}: {order_id}", self.what);
        }
        let orders = requests.len();
        match self.afterwards {
            Afterwards::Over => return self.over(scene, requests).await,
            Afterwards::Nothing => assert!(stored.is_empty(), "{}: {stored:?}", self.what),
            Afterwards::Waits | Afterwards::Made => {}
        }
        if self.answer.says_when_to_retry() {
            for request in requests {
                eventually("a retry", async || scene.ask(request.clone()).await).await;
            }
        }
        self.made(scene, orders).await;
    }

    async fn over(&self, scene: &Scene, requests: Vec<PlaceOrderRequest>) {
        for request in requests {
            self.answer.is(self.what, &scene.ask(request).await);
        }
        assert_eq!(scene.states(self.what).await, [Declined]);
        assert_eq!(scene.charges(self.what).await, 0, "{}", self.what);
    }

    /// There are so many orders, each made and charged once.
    async fn made(&self, scene: &Scene, orders: usize) {
        let ready = vec![Ready; orders];
        eventually(self.what, async || match scene.states(self.what).await {
            states if states == ready => Ok(()),
            states => Err(states),
        })
        .await;
        assert_eq!(scene.charges(self.what).await, orders, "{}", self.what);
    }
}

/// Makes the calls one after the other, and notes how long each takes.
async fn ask(
    scene: &Scene,
    requests: &[PlaceOrderRequest],
) -> Vec<(Result<Order, Status>, Duration)> {
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let begun = Instant::now();
        let answer = scene.ask(request.clone()).await;
        answers.push((answer, begun.elapsed()));
    }
    answers
}

/// Waits until nothing of a row is left: the circuit is closed, and every order has ended.
async fn at_rest(scene: &Scene) {
    eventually("the circuit to close", async || {
        let circuit = circuits::circuit(&scene.shop).await;
        if circuit.state() == CircuitState::Closed {
            return Ok(());
        }
        // What it takes to probe: its charge is asked for until it is answered.
        let order = scene.shop.place(latte()).await;
        scene.shop.until_ready(&order).await;
        Err(circuit)
    })
    .await;
    scene.shop.until_idle().await;
}
