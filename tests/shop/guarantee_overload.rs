//! Too many calls at a time are refused at once, and what is refused was not begun.

use futures::future::join_all;
use proto::{
    money::v1::Money,
    payments::v1::{ChargeRequest, payments_service_client::PaymentsServiceClient},
    reception::v1::PlaceOrderRequest,
};
use shop::{
    customers::latte,
    harness::{Options, Shop},
    services::Service,
};
use sqlx::{PgPool, Postgres, Transaction};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// More than a queue (1,024) and its two batches in hand (128), and than what is taken back while
/// they come.
const CROWD: usize = 3_000;
/// A connection carries 1,024 calls at a time; the rest would wait with their caller.
const CONNECTIONS: usize = 4;

#[tokio::test]
async fn orders_for_which_the_queue_is_full_are_refused_and_never_stored() {
    // The door is wide open: it is the queue behind it that is full.
    let options = Options::default().with(Service::Reception, "MAX_PLACING", "4096");
    let shop = Shop::open(options).await.expect("a shop opens");
    let pool = shop.reception_pool();
    let lock = lock(&pool, "lock table orders in exclusive mode").await;
    let orders: Vec<PlaceOrderRequest> = (0..CROWD).map(|_| latte()).collect();
    let customers: Vec<_> = (0..CONNECTIONS).map(|_| shop.customer()).collect();
    let turn = customers.iter().cycle();
    let refused = refused(orders.iter().zip(turn).map(async |(order, customer)| {
        let answer = customer.place(order.clone()).await;
        (order.request_id.clone(), answer.map(|_| ()))
    }));
    let refused = refused.await;
    lock.commit().await.expect("the database is up");
    // Whoever got in is served; the books know.
    shop.until_idle().await;
    let stored = "select count(*) from orders where request_id = any($1::uuid[])";
    assert_eq!(among(&pool, stored, &refused).await, 0);
    shop.close().await;
}

#[tokio::test]
async fn charges_for_which_the_queue_is_full_are_refused_and_never_decided() {
    // A provider alone: the books would miss the orders.
    let shop = Shop::prepare(Options::default()).await;
    let shop = shop.expect("the databases can be made");
    shop.payments.start().await.expect("it starts");
    let pool = shop.payments_pool();
    let lock = lock(&pool, "lock table payments in exclusive mode").await;
    let charges: Vec<ChargeRequest> = (0..CROWD).map(|_| charge()).collect();
    let lines = (0..CONNECTIONS).map(|_| shop.payments.channel().expect("its URL is our own"));
    let lines: Vec<_> = lines.map(PaymentsServiceClient::new).collect();
    let turn = lines.iter().cycle();
    let refused = refused(charges.iter().zip(turn).map(async |(charge, line)| {
        let answer = line.clone().charge(charge.clone()).await;
        (charge.idempotency_key.clone(), answer.map(|_| ()))
    }));
    let refused = refused.await;
    lock.commit().await.expect("the database is up");
    // Stopped, so that what it had in hand is done.
    shop.payments.stop().await.expect("it ends well");
    let decided = "select count(*) from payments where idempotency_key = any($1)";
    assert_eq!(among(&pool, decided, &refused).await, 0);
    shop.discard().await;
}

/// Those who were told, when nothing got through, that too many wait and when to come again.
async fn refused(
    calls: impl Iterator<Item = impl Future<Output = (String, Result<(), Status>)>>,
) -> Vec<String> {
    let mut refused = Vec::new();
    for (name, answer) in join_all(calls).await {
        match answer {
            Err(status) if status.code() == Code::ResourceExhausted => {
                assert_eq!(crate::reason(&status), "OVERLOADED");
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                refused.push(name);
            }
            // It got in, and was not served in time.
            Err(status) if is_late(status.code()) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!refused.is_empty(), "the queue was never full");
    refused
}

fn is_late(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded)
}

/// Lets nobody write there until it is let go.
async fn lock(pool: &PgPool, lock: &'static str) -> Transaction<'static, Postgres> {
    let mut tx = pool.begin().await.expect("the database is up");
    let locked = sqlx::query(lock).execute(&mut *tx).await;
    locked.expect("nobody else has it");
    tx
}

async fn among(pool: &PgPool, question: &'static str, names: &[String]) -> i64 {
    let found = sqlx::query_scalar(question).bind(names).fetch_one(pool);
    found.await.expect("the database is up")
}

fn charge() -> ChargeRequest {
    let order_id = Uuid::now_v7().to_string();
    let amount = Money {
        currency_code: "EUR".to_owned(),
        amount_minor: 420,
    };
    ChargeRequest {
        idempotency_key: order_id.clone(),
        amount: Some(amount),
        payment_token: "tok_visa".to_owned(),
        order_id,
    }
}
