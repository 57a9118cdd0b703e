use nix::sys::signal::Signal;
use serde_json::Value;
use shop::part::Part;
use std::{process::Output, time::Duration};
use uuid::Uuid;

use crate::life::TestShop;

/// Of what is drawn into a pipe.
const WIDTH: usize = 100;

#[tokio::test]
async fn an_order_is_drawn_as_one_tree_and_a_dead_receiver_costs_nobody_an_order() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach", "--brew-scale", "0"]);
    let order = ordered(&shop);
    let drawn = shop.run(&["trace", &order]);
    let drawn = String::from_utf8_lossy(&drawn.stdout).into_owned();
    for words in [&order, "one tree", "PlaceOrder", "send orders.v1", "brew"] {
        assert!(drawn.contains(words), "{drawn}");
    }
    assert!(
        drawn.lines().all(|line| line.chars().count() <= WIDTH),
        "{drawn}"
    );
    assert!(!drawn.contains('\u{1b}'), "no colors in a pipe: {drawn}");
    let json = shop.run(&["trace", &order, "--json"]).stdout;
    let json: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(
        (&json["connected"], &json["order_id"]),
        (&true.into(), &order.into())
    );

    let receiver = shop.state().parts[&Part::Telemetry].identity;
    let killed = receiver.stop(Signal::SIGKILL, Duration::from_secs(9)).await;
    killed.expect("it is ours");
    ordered(&shop);
    shop.succeed(&["status"]);
    shop.succeed(&["up", "--detach"]);
    let order = ordered(&shop);
    shop.succeed(&["trace", &order]);
}

#[tokio::test]
async fn whoever_finds_no_trace_learns_why_and_what_to_do() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach", "--brew-scale", "0", "--trace-ratio", "0"]);
    let unknown = Uuid::now_v7().to_string();
    refused(&shop.run(&["trace", &unknown]), "`shop order` prints");
    refused(&shop.run(&["trace", "42"]), "`shop order` prints");
    refused(
        &shop.run(&["trace", &ordered(&shop)]),
        "`shop up --trace-ratio 1`",
    );

    shop.succeed(&["up", "--detach", "--no-telemetry"]);
    assert!(shop.state().alive(Part::Telemetry).is_none());
    shop.succeed(&["status"]);
    refused(
        &shop.run(&["trace", &ordered(&shop)]),
        "`shop up --trace-ratio 1`",
    );

    // Nobody is there, and nobody minds.
    let elsewhere = "http://127.0.0.1:1";
    shop.succeed(&["up", "--detach", "--otlp", elsewhere, "--trace-ratio", "1"]);
    refused(&shop.run(&["trace", &ordered(&shop)]), elsewhere);
}

/// Orders an espresso, waits until it is READY, and returns the order's id.
fn ordered(shop: &TestShop) -> String {
    let said = shop.run(&["order", "--drink", "espresso", "--size", "single"]);
    let words = String::from_utf8_lossy(&said.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{complaints}");
    let mut lines = words.lines();
    let order = lines.find_map(|line| line.strip_prefix("order "));
    let order = order.expect("it says which").to_owned();
    let hint = format!("trace {order}");
    assert!(
        words.contains(&hint),
        "it names what shows its trace: {words}"
    );
    order
}

fn refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{said}");
}
