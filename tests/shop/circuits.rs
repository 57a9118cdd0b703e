//! A provider that fails is not asked for a while, everybody can see it, and it is asked again when it
//! is back; nobody's order depends on any of that.

use crate::{count, heard::Heard};
use proto::{
    operations::v1::{
        Circuit, CircuitState, ListCircuitsRequest, WatchCircuitsRequest,
        watch_circuits_response::Update,
    },
    reception::v1::{Order, OrderState},
};
use shop::{
    customers::latte,
    harness::{Collector, Options, Shop, eventually, patience},
    services::Service,
};
use std::time::Duration;
use tokio::time::timeout;

/// More calls than any test makes.
const MANY: i64 = 1_000_000;

#[tokio::test]
async fn orders_are_acknowledged_without_asking_a_provider_that_fails() {
    let shop = crate::open_with(pausing("3s")).await;
    shop.provider.fail_next(MANY).await;
    let mut orders = until_open(&shop).await;
    let open = circuit(&shop).await;
    assert_eq!(open.name, "payments");
    assert!(time(&open.next_probe_time) > time(&open.since_time));
    orders.extend(placed_unasked(&shop, 10).await);
    eventually(
        "the provider to be asked as often as is counted",
        async || {
            let asked = MANY - shop.provider.calls_left().await;
            match circuit(&shop).await.calls {
                calls if calls == asked => Ok(()),
                calls => Err((calls, asked)),
            }
        },
    )
    .await;

    // Slow enough to be seen.
    shop.provider.delay_next(2, Duration::from_secs(1)).await;
    until(&shop, CircuitState::HalfOpen).await;
    until(&shop, CircuitState::Closed).await;
    all_charged_once(&shop, &orders).await;
    shop.close().await;
}

#[tokio::test]
async fn a_provider_that_was_killed_is_asked_again_when_it_is_back() {
    let collector = Collector::open().await;
    let options = pausing("500ms")
        .with(
            Service::Reception,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            collector.endpoint.clone(),
        )
        .with(Service::Reception, "OTEL_METRIC_EXPORT_INTERVAL", "100");
    let shop = crate::open_with(Options {
        processes: true,
        ..options
    })
    .await;
    shop.payments.kill9().await.expect("it was running");
    let mut orders = until_open(&shop).await;
    orders.extend(placed_unasked(&shop, 3).await);
    until_measured(&collector, "coffeeshop.circuit.state", 1.0).await;
    until_measured(&collector, "coffeeshop.circuit.rejected", 3.0).await;

    shop.payments.start().await.expect("it starts again");
    // One of them may have been the only probe: another customer is the next.
    orders.push(shop.place(latte()).await);
    until(&shop, CircuitState::Closed).await;
    all_charged_once(&shop, &orders).await;
    until_measured(&collector, "coffeeshop.circuit.transitions", 1.0).await;
    until_measured(&collector, "coffeeshop.circuit.calls", 1.0).await;
    shop.close().await;
}

async fn until_measured(collector: &Collector, metric: &str, at_least: f64) {
    eventually(metric, async || match collector.last(metric) {
        Some(value) if value >= at_least => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn while_a_circuit_is_open_no_order_is_taken_to_be_settled_in_vain() {
    let heard = Heard::listen();
    let shop = crate::open_with(pausing("1h")).await;
    shop.provider.fail_next(MANY).await;
    let orders = until_open(&shop).await;
    let taken = async || count(&shop.reception_pool(), TAKEN).await;
    // What the sweeper took before that is in its hands.
    let (before, rejected) = (taken().await, circuit(&shop).await.rejected);
    let warned = heard.count("charge undecided");
    let order = shop.place(latte()).await;
    assert_eq!(
        heard.count("charge undecided"),
        warned,
        "the circuit said so"
    );
    // Due for as long as the sweeper looks several times.
    eventually("the order to be due for long", async || {
        match count(&shop.reception_pool(), LONG_DUE).await {
            due if due > 0 => Ok(()),
            due => Err(due),
        }
    })
    .await;
    assert_eq!(
        circuit(&shop).await.rejected,
        rejected + 1,
        "the customer's"
    );
    assert_eq!(taken().await, before);

    // A circuit is a process's own: a new one asks at once.
    shop.provider.recover().await;
    shop.reception.stop().await.expect("it ends well");
    shop.reception.start().await.expect("it starts again");
    all_charged_once(&shop, &[orders, vec![order]].concat()).await;
    shop.close().await;
}
const TAKEN: &str = "select coalesce(sum(settle_attempts), 0)::bigint from orders";
const LONG_DUE: &str = "select count(*) from orders \
    where settle_attempts = 0 and settle_time < now() - interval '3 seconds'";

#[tokio::test]
async fn a_watcher_sees_each_circuit_at_first_and_then_how_it_changes() {
    let shop = crate::open_with(pausing("1h")).await;
    let watch = WatchCircuitsRequest {};
    let watched = shop.circuits_client().watch_circuits(watch).await;
    let mut watched = watched.expect("reception is up").into_inner();
    let mut next = async || {
        let update = timeout(patience(), watched.message()).await;
        let update = update
            .expect("it comes in time")
            .expect("the stream goes on");
        match update.and_then(|update| update.update) {
            Some(Update::Circuit(circuit)) => circuit.state(),
            other => panic!("no circuit: {other:?}"),
        }
    };
    assert_eq!(next().await, CircuitState::Closed);
    shop.provider.fail_next(MANY).await;
    until_open(&shop).await;
    assert_eq!(next().await, CircuitState::Open);
    shop.provider.recover().await;
    shop.reception.stop().await.expect("it ends well");
    shop.reception.start().await.expect("it starts again");
    shop.close().await;
}

/// A shop whose circuits stay open for so long, or down to half of it.
fn pausing(pause: &str) -> Options {
    Options::default()
        .with(Service::Reception, "CIRCUIT_PAUSE", pause)
        .with(Service::Reception, "CIRCUIT_LONGEST_PAUSE", pause)
}

pub async fn circuit(shop: &Shop) -> Circuit {
    let listed = shop
        .circuits_client()
        .list_circuits(ListCircuitsRequest::default())
        .await;
    let mut circuits = listed.expect("reception is up").into_inner().circuits;
    assert_eq!(circuits.len(), 1, "{circuits:?}");
    circuits.remove(0)
}

async fn until(shop: &Shop, state: CircuitState) -> Circuit {
    let what = format!("the circuit to be {}", state.as_str_name());
    eventually(&what, async || match circuit(shop).await {
        circuit if circuit.state() == state => Ok(circuit),
        circuit => Err(circuit),
    })
    .await
}

/// Places orders, each of which must be acknowledged, until the circuit is open.
pub async fn until_open(shop: &Shop) -> Vec<Order> {
    let mut orders = Vec::new();
    eventually("the circuit to open", async || {
        orders.push(place_undecided(shop).await);
        match circuit(shop).await {
            circuit if circuit.state() == CircuitState::Open => Ok(()),
            circuit => Err(circuit),
        }
    })
    .await;
    orders
}

/// Orders that were placed while the circuit was open, which is to say between two looks at one and
/// the same pause. None of them got to the provider.
async fn placed_unasked(shop: &Shop, wanted: usize) -> Vec<Order> {
    let (mut orders, mut unasked) = (Vec::new(), 0);
    eventually("orders during a pause", async || {
        let before = circuit(shop).await;
        orders.push(place_undecided(shop).await);
        let after = circuit(shop).await;
        let same = before.state() == CircuitState::Open && before.since_time == after.since_time;
        if same && after.state() == CircuitState::Open {
            assert_eq!(after.calls, before.calls, "somebody asked");
            assert!(after.rejected > before.rejected);
            unasked += 1;
        }
        if unasked == wanted {
            Ok(())
        } else {
            Err(after)
        }
    })
    .await;
    orders
}

async fn place_undecided(shop: &Shop) -> Order {
    let order = shop.place(latte()).await;
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    order
}

async fn all_charged_once(shop: &Shop, orders: &[Order]) {
    for order in orders {
        shop.until_ready(order).await;
    }
    let payments = count(&shop.payments_pool(), "select count(*) from payments").await;
    assert_eq!(payments, i64::try_from(orders.len()).expect("a few"));
}

fn time(time: &Option<prost_types::Timestamp>) -> (i64, i32) {
    let time = time.as_ref().expect("it is there");
    (time.seconds, time.nanos)
}
