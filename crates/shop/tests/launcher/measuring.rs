use std::process::Output;

use sqlx::{Connection as _, PgConnection};

use crate::life::TestShop;

/// More than one chunk of a fill, and not a whole number of them.
const STORED: &str = "12345";

#[tokio::test]
async fn what_fill_stores_keeps_the_books_right_and_load_checks_its_own_orders_only() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach", "--brew-scale", "0"]);

    let said = said(&shop.run(&["fill", "--orders", STORED]));
    assert!(said.contains(STORED), "{said}");
    shop.succeed(&["books", "--settled"]);

    // One of them was never charged.
    execute(
        &shop.state().database_urls[&shop::part::Part::Payments],
        "delete from payments where payment_id = (select min(payment_id) from payments)",
    )
    .await;
    assert!(!shop.run(&["books", "--settled"]).status.success());
    shop.succeed(&["load", "--clients", "2", "--seconds", "1", "--warmup", "0"]);
}

#[tokio::test]
async fn each_message_is_counted_as_handled_once_and_nothing_is_left_behind() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach"]);

    let said = said(&shop.run(&["messages", "--messages", "3000"]));

    let counted = "each of 3000 messages was handled once, in each run";
    assert!(said.contains(counted), "{said}");
    let left = databases(&shop.state().postgres_url).await;
    assert_eq!(left, Vec::<String>::new());
}

/// What a command that succeeded has printed.
fn said(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Those that are for messages.
async fn databases(url: &str) -> Vec<String> {
    let mut conn = PgConnection::connect(url).await.expect("Postgres is open");
    sqlx::query_scalar("select datname from pg_database where datname like 'messages%'")
        .fetch_all(&mut conn)
        .await
        .expect("the statement is right")
}

async fn execute(url: &str, statement: &'static str) {
    let mut conn = PgConnection::connect(url).await.expect("Postgres is open");
    sqlx::raw_sql(statement)
        .execute(&mut conn)
        .await
        .expect("the statement is right");
}
