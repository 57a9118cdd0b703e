//! Somebody else's transaction is in the way: the horizon is the whole server's.

use crate::post::{Post, event, order_id};
use lifecycle::postgres;
use messaging::relay::Published;
use proto::reception::v1::OrderState;
use shop::{
    customers::latte,
    dir::{self, ShopDir},
    harness::{Collector, Options, Shop, eventually, patience},
    services::Service,
};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use std::fs;
use tokio::time::timeout;

const HORIZON_AGE: &str = "coffeeshop.outbox.horizon.age";
const UNSENT_AGE: &str = "coffeeshop.outbox.unsent.age";
const UNSENT: &str = "coffeeshop.outbox.unsent";

#[tokio::test]
async fn a_transaction_left_open_in_another_database_stalls_orders_and_is_named_with_the_way_out() {
    let collector = Collector::open().await;
    let options = Options {
        own_servers: true,
        processes: true,
        ..Options::default()
    };
    let (to, every) = (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_METRIC_EXPORT_INTERVAL",
    );
    let options = options
        .with(Service::Reception, to, &collector.endpoint)
        .with(Service::Reception, every, "100");
    let shop = crate::open_with(options).await;

    // Not of a service, and not even in reception's database.
    let payments = shop.payments_pool();
    let stranger = begin_writing(&payments).await;
    // Again if a new process on a busy machine has no connection yet: then nothing was stored.
    let place = async || shop.try_place(latte()).await;
    let order = eventually("an order to be taken", place).await;
    measured(&collector, "events to be held", |c| {
        c.last(HORIZON_AGE) > Some(5.0)
    })
    .await;
    let way_out = eventually("the culprit to be named", async || named(&shop)).await;
    let now = shop.get(&order.order_id).await.expect("reception is up");
    assert_eq!(now.state(), OrderState::Paid, "it waits, and fails nothing");
    assert!(
        collector.last(UNSENT) >= Some(1.0),
        "{:?}",
        collector.last(UNSENT)
    );
    assert!(collector.last(UNSENT_AGE) > Some(5.0));

    follow(&shop, &way_out).await;
    shop.until_ready(&order).await;
    measured(&collector, "nothing to wait", |c| {
        (c.last(HORIZON_AGE), c.last(UNSENT)) == (Some(0.0), Some(0.0))
    })
    .await;
    eventually("the end to be logged", async || {
        match lines(&shop, "events go out again").len() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(
        lines(&shop, "pg_terminate_backend").len(),
        1,
        "it was said once"
    );
    drop(stranger);
    shop.close().await;
}

#[tokio::test]
async fn our_own_connections_cannot_hold_the_horizon_back_for_long() {
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let mut relay = post.relay();
    let url = post.shop.servers.postgres_admin_url();
    let pool = postgres::pool(&service_options(url), "forgetful").expect("the URL is valid");
    let mut idle = begin_writing(&pool).await;
    let mut busy = begin_writing(&pool).await;
    post.append(&[event(order_id(), 1)]).await;
    let nothing = relay.publish_batch().await.expect("both are up");
    assert_eq!(nothing, Published::default(), "it waits for both");
    // Never done, though every statement is quick.
    let ended = timeout(patience(), async {
        while sqlx::query("select pg_sleep(0.2)")
            .execute(&mut *busy)
            .await
            .is_ok()
        {}
    });
    ended.await.expect("the server ends it");
    let asked = sqlx::query("select 1").execute(&mut *idle).await;
    assert!(asked.is_err(), "the server has ended it");
    crate::post::publish(&mut relay, 1).await;
    drop((idle, busy));
    post.close().await;
}

#[tokio::test]
async fn a_prepared_transaction_is_named_too() {
    let heard = crate::heard::Heard::listen();
    let post = Post::open(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let servers = &post.shop.servers;
    let mut admin = admin(servers.postgres_admin_url()).await;
    let raw = sqlx::raw_sql("alter system set max_prepared_transactions = 1");
    raw.execute(&mut admin).await.expect("it is ours");
    // In good order: the processes of a killed one hold its memory for a moment, and the
    // next does not start until they are gone.
    servers.postgres.terminate().await.expect("it ends");
    servers.postgres.restart().await.expect("it starts again");
    let mut admin = self::admin(servers.postgres_admin_url()).await;
    let prepare = "begin; select pg_current_xact_id(); prepare transaction 'forgotten'";
    sqlx::raw_sql(prepare)
        .execute(&mut admin)
        .await
        .expect("it is allowed now");

    let stop = tokio_util::sync::CancellationToken::new();
    let test = async {
        eventually("the database to take connections", async || {
            sqlx::query("select 1").execute(&post.pool).await
        })
        .await;
        post.append(&[event(order_id(), 1)]).await;
        eventually("it to be named", async || {
            match heard.count("rollback prepared 'forgotten'") {
                1 => Ok(()),
                _ => Err(()),
            }
        })
        .await;
        let raw = sqlx::raw_sql("rollback prepared 'forgotten'");
        raw.execute(&mut admin).await.expect("it is there");
        eventually("the event to be sent", async || {
            match crate::log::read(&post.shop, &post.topic).await.len() {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(post.relay().run(stop.clone()), test);
    ran.expect("it stops well");
    post.close().await;
}

/// A transaction with an id, as any that writes has.
async fn begin_writing(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut tx = pool.begin().await.expect("the database is up");
    sqlx::query("select pg_current_xact_id()")
        .execute(&mut *tx)
        .await
        .expect("the database is up");
    tx
}

async fn measured(collector: &Collector, what: &str, seen: impl Fn(&Collector) -> bool) {
    eventually(what, async || match seen(collector) {
        true => Ok(()),
        false => Err([HORIZON_AGE, UNSENT_AGE, UNSENT].map(|name| collector.last(name))),
    })
    .await;
}

/// The way out, as reception logged it.
fn named(shop: &Shop) -> Result<String, String> {
    let lines = lines(shop, "pg_terminate_backend");
    let line = lines.first().ok_or("no such line")?;
    // A database, a role and an application are told whoever reads the log.
    assert!(line.contains(&format!("payments_{}", shop.name)), "{line}");
    let begin = line
        .find("select pg_terminate_backend")
        .ok_or("it is in the message")?;
    let end = line[begin..].find(')').ok_or("it is whole")?;
    Ok(line[begin..=begin + end].to_owned())
}

fn lines(shop: &Shop, words: &str) -> Vec<String> {
    let dir = ShopDir::find(&dir::Options::default()).expect("the tests' servers log there");
    let log = dir
        .logs()
        .join("tests")
        .join(&shop.name)
        .join(format!("reception-{}.log", shop.reception.address().port()));
    let text = fs::read_to_string(log).expect("reception logs");
    text.lines()
        .filter(|line| line.contains(words))
        .map(str::to_owned)
        .collect()
}

async fn follow(shop: &Shop, way_out: &str) {
    let mut admin = admin(shop.servers.postgres_admin_url()).await;
    let statement = sqlx::AssertSqlSafe(way_out.to_owned());
    sqlx::query(statement)
        .execute(&mut admin)
        .await
        .expect("it is SQL");
}

async fn admin(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("Postgres is up")
}

fn service_options(url: &str) -> postgres::Options {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        postgres: postgres::Options,
    }
    <Command as clap::Parser>::parse_from(["service", "--database-url", url]).postgres
}
