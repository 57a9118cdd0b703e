//! A pool of connections that broke fills again, however slow the database is to connect to.

use lifecycle::{Stop, postgres};
use shop::{
    fault::Proxy,
    harness::{Line, Options, Shop, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// A connection is made in four round trips: 960 ms, and a caller waits for 500.
const SLOW: Duration = Duration::from_millis(120);
const CONNECTIONS: u32 = 4;
/// Who asks for connections all the time: more than there are.
const CALLERS: usize = 12;
/// A caller is promised an answer within a second; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_pool_fills_although_no_caller_waits_as_long_as_a_connection_takes() {
    let shop = open().await;
    let (line, pool) = (shop.line(Line::Database(Service::Reception)), pool(&shop));
    until_it_starts(&pool).await;
    line.delay(SLOW);
    line.reset();

    let served = Arc::new(AtomicUsize::new(0));
    let callers = ask_all_the_time(&pool, &served);

    eventually("callers to be served", async || {
        match served.load(Ordering::Relaxed) {
            CALLERS.. => Ok(()),
            few => Err(few),
        }
    })
    .await;
    drop(callers);
    line.heal();
    shop.discard().await;
}

#[tokio::test]
async fn a_connection_that_was_being_made_for_one_who_left_is_the_next_ones() {
    let shop = open().await;
    let (line, pool) = (shop.line(Line::Database(Service::Reception)), pool(&shop));
    line.delay(SLOW);
    let begun = line.counts().connections;

    let asked = Instant::now();
    let given_up = postgres::acquire(&pool).await;
    assert!(matches!(given_up, Err(sqlx::Error::PoolTimedOut)));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());

    eventually("the connection to be made", async || {
        match pool.num_idle() {
            1 => Ok(()),
            idle => Err(idle),
        }
    })
    .await;
    is_alive(&pool).await;
    assert_eq!(connections(line) - begun, 1, "it was made once");
    line.heal();
    shop.discard().await;
}

async fn open() -> Shop {
    let options = Options {
        lines: true,
        ..Options::default()
    };
    let shop = Shop::prepare(options).await;
    shop.expect("databases and topics can be made")
}

fn pool(shop: &Shop) -> PgPool {
    let options = postgres::Options::new(shop.reception_url(), CONNECTIONS);
    postgres::pool(&options, "reception").expect("the URL is valid")
}

/// As a service starts: it brings the schema up to date, here to none.
async fn until_it_starts(pool: &PgPool) {
    let none = sqlx::migrate::Migrator::with_migrations(Vec::new());
    let started = postgres::migrate(pool, &none, &Stop::new()).await;
    started.expect("the database is up");
    assert_eq!(pool.size(), CONNECTIONS, "nobody has asked for one");
}

/// As customers do who do not take "later" for an answer.
fn ask_all_the_time(pool: &PgPool, served: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (pool, served) = (pool.clone(), served.clone());
        callers.spawn(async move {
            loop {
                if postgres::acquire(&pool).await.is_ok() {
                    served.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    callers
}

async fn is_alive(pool: &PgPool) {
    let mut connection = postgres::acquire(pool).await.expect("one is there");
    let one: i32 = sqlx::query_scalar("select 1")
        .fetch_one(&mut *connection)
        .await
        .expect("it is alive");
    assert_eq!(one, 1);
}

fn connections(line: &Proxy) -> u64 {
    line.counts().connections
}
