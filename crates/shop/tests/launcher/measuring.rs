use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::Value;
use shop::{part::Part, process::Identity};
use sqlx::{Connection as _, PgConnection};
use tempfile::NamedTempFile;

use crate::life::TestShop;

/// More than one chunk of a fill, and not a whole number of them.
const STORED: &str = "12345";
/// More than there is time for.
const ENDLESS: &str = "10000000";
/// How long something may take to begin.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn what_fill_stores_keeps_the_books_right_and_load_checks_its_own_orders_only() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach", "--brew-scale", "0"]);

    let said = printed(&shop.run(&["fill", "--orders", STORED]));
    assert!(said.contains(STORED), "{said}");
    shop.succeed(&["books", "--settled"]);

    // The oldest of them was never charged.
    let mut payments = payments(&shop).await;
    sqlx::query(
        "delete from payments where payment_id in \
             (select payment_id from payments order by payment_id limit 1)",
    )
    .execute(&mut payments)
    .await
    .expect("the statement is right");
    assert!(!shop.run(&["books", "--settled"]).status.success());
    shop.succeed(&["load", "--clients", "2", "--seconds", "1", "--warmup", "0"]);
}

#[tokio::test]
async fn each_message_is_counted_as_handled_once_and_nothing_is_left_behind() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach"]);

    let said = printed(&shop.run(&["messages", "--messages", "3000"]));

    let counted = "each of 3000 messages was handled once, in each run";
    assert!(said.contains(counted), "{said}");
    assert_eq!(left_behind(&shop).await, Vec::<String>::new());
}

#[test]
fn what_tracing_costs_is_measured_of_shops_that_trace_as_much_as_they_say() {
    let shop = TestShop::new();
    let figures = NamedTempFile::new().expect("a temporary file can be made");
    let path = figures.path().to_str().expect("a plain path");
    let demand = "overhead --turns 1 --clients 2 --seconds 1 --warmup 0 --json";
    let arguments: Vec<_> = demand.split(' ').chain([path]).collect();

    let said = printed(&shop.run(&arguments));

    assert!(said.contains("spans dropped"), "{said}");
    let runs = fs::read_to_string(path).expect("it is written");
    let runs: Value = serde_json::from_str(&runs).expect("it is JSON");
    let share = |run: usize| &runs[run]["load"]["ready"]["traced"];
    assert_eq!((share(0), share(2)), (&0.0.into(), &1.0.into()), "{runs:#}");
    let dropped = |run: usize| &runs[run]["spans_dropped"];
    assert_eq!((dropped(0), dropped(2)), (&Value::Null, &0.into()));
    let receiver = |run: usize| &runs[run]["load"]["receiver_cpu_seconds_per_1000_orders"];
    assert!(receiver(0).is_null() && receiver(2).is_number(), "{runs:#}");
    assert!(!shop.state().is_open(), "it is closed afterwards");
}

#[tokio::test]
async fn measurements_that_are_interrupted_leave_right_books_and_nothing_else() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach"]);

    let mut messages = shop.spawn(&["messages", "--messages", ENDLESS]);
    // A database, a role and a topic.
    let deadline = Instant::now() + PATIENCE;
    while left_behind(&shop).await.len() < 3 {
        assert!(Instant::now() < deadline, "nothing is made for messages");
    }
    interrupt(messages.id());
    assert!(!messages.wait().expect("it is ours").success());
    assert_eq!(left_behind(&shop).await, Vec::<String>::new());

    let mut fill = shop.spawn(&["fill", "--orders", ENDLESS]);
    let mut payments = payments(&shop).await;
    until_stored(&mut payments).await;
    interrupt(fill.id());
    assert!(!fill.wait().expect("it is ours").success());
    shop.succeed(&["books", "--settled"]);
}

async fn until_stored(payments: &mut PgConnection) {
    let deadline = Instant::now() + PATIENCE;
    let mut stored = false;
    while !stored {
        assert!(Instant::now() < deadline, "nothing is stored");
        let any = sqlx::query_scalar("select exists (select from payments)");
        stored = any
            .fetch_one(&mut *payments)
            .await
            .expect("Postgres is open");
    }
}

/// What a command that succeeded has printed.
fn printed(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn interrupt(pid: u32) {
    let process = Identity::of(pid).expect("it runs");
    process.signal(Signal::SIGINT).expect("it is ours");
}

async fn payments(shop: &TestShop) -> PgConnection {
    let url = &shop.state().database_urls[&Part::Payments];
    PgConnection::connect(url).await.expect("Postgres is open")
}

/// Databases, roles and topics that are there for messages.
async fn left_behind(shop: &TestShop) -> Vec<String> {
    let state = shop.state();
    let mut postgres = PgConnection::connect(&state.postgres_url)
        .await
        .expect("Postgres is open");
    let mut left: Vec<String> = sqlx::query_scalar(
        "select datname::text from pg_database where datname like 'messages%' \
         union all select rolname::text from pg_roles where rolname like 'messages%'",
    )
    .fetch_all(&mut postgres)
    .await
    .expect("the statement is right");
    left.extend(topics(&state.kafka_brokers));
    left
}

fn topics(brokers: &str) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let consumer: BaseConsumer = config.create().expect("the settings are valid");
    let all = consumer
        .fetch_metadata(None, PATIENCE)
        .expect("Kafka is open");
    let names = all.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| name.starts_with("messages")).collect()
}
