//! A network that breaks, and a process that is asked to leave, cost nobody an order.
//!
//! Here nobody dies: connections break, or fall silent, which is worse.

use crate::{
    count,
    lifecycle::{customers, until_served},
    log,
    post::{event, order_id},
    reason,
};
use lifecycle::postgres;
use messaging::{event::Event, outbox};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use shop::{
    customers::latte,
    fault::Proxy,
    harness::{Options, Shop, UNSENT, eventually, outage},
    services::Service,
};
use sqlx::{PgPool, pool::PoolConnection};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// A caller is promised an answer within a second; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn reception_starts_and_takes_orders_while_kafka_cannot_be_reached() {
    let shop = Shop::prepare(Options {
        kafka_proxy: true,
        ..Options::default()
    })
    .await
    .expect("databases and topics can be made");
    let proxy = shop.servers.kafka_proxy();
    shop.payments.start().await.expect("it needs no Kafka");
    for fault in [Proxy::cut, Proxy::black_hole] {
        fault(proxy);
        shop.barista.start().await.expect("it starts without Kafka");
        shop.reception.start().await.expect("so does it");
        let order = shop.place(latte()).await;
        assert!(has_bitten(proxy), "{:?}", proxy.counts());
        proxy.heal();
        shop.until_ready(&order).await;
        shop.reception.stop().await.expect("it ends well");
        shop.barista.stop().await.expect("it ends well");
    }
    shop.close().await;
}

fn has_bitten(proxy: &Proxy) -> bool {
    let counts = proxy.counts();
    counts.broken + counts.held > 0
}

#[tokio::test]
async fn orders_are_taken_as_always_while_kafka_is_cut_off_or_silent() {
    let shop = crate::open_with(Options {
        kafka_proxy: true,
        ..Options::default()
    })
    .await;
    let proxy = shop.servers.kafka_proxy();
    for fault in [Proxy::cut, Proxy::black_hole] {
        fault(proxy);
        // For some seconds.
        for _ in 0..20 {
            let begun = Instant::now();
            shop.place(latte()).await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            sleep(Duration::from_millis(200)).await;
        }
        proxy.heal();
        shop.until_idle().await;
    }
    let counts = proxy.counts();
    assert!(counts.broken > 0 && counts.held > 0, "{counts:?}");
    let books = shop.books(true).await.expect("the databases are up");
    let ready = ("READY".to_owned(), 40);
    assert!(books.summary.orders.contains(&ready), "{books}");
    shop.close().await;
}

#[tokio::test]
async fn orders_are_refused_soon_while_postgres_is_silent() {
    let shop = crate::open_with(Options {
        postgres_proxy: true,
        ..Options::default()
    })
    .await;
    let first = shop.place(latte()).await;
    shop.until_ready(&first).await;
    let proxy = shop.servers.postgres_proxy();
    proxy.black_hole();
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = shop.try_place(latte()).await;
        let refused = refused.expect_err("nothing can be stored");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(
            refused.get_details_retry_info().is_some(),
            "a retry is safe: {}",
            reason(&refused)
        );
    }
    assert!(has_bitten(proxy));
    proxy.heal();
    let again = eventually("orders to be taken", async || shop.try_place(latte()).await).await;
    shop.until_ready(&again).await;
    shop.close().await;
}

#[tokio::test]
async fn a_pool_wins_back_the_places_of_connections_whose_server_has_vanished() {
    const PLACES: u32 = 2;
    let shop = Shop::prepare(Options {
        postgres_proxy: true,
        ..Options::default()
    })
    .await
    .expect("databases and topics can be made");
    let options = postgres::Options::new(shop.reception_url(), PLACES);
    let pool = postgres::pool(&options, "test").expect("the URL is valid");
    let mut taken = Vec::new();
    for _ in 0..PLACES {
        taken.push(pool.acquire().await.expect("the database is up"));
    }
    shop.servers.postgres_proxy().strand();
    for connection in &mut taken {
        let given_up = timeout(Duration::from_millis(100), ask(connection)).await;
        assert!(given_up.is_err(), "nobody answers");
    }
    drop(taken);
    eventually("a place to be free", async || pool.acquire().await).await;
    shop.discard().await;
}

/// sqlx would return the connection with the server's transaction open, and the next one's write
/// would be gone with it.
#[tokio::test]
async fn a_transaction_that_is_given_up_while_it_begins_is_open_for_nobody_else() {
    let shop = Shop::prepare(Options {
        postgres_proxy: true,
        ..Options::default()
    })
    .await
    .expect("databases and topics can be made");
    let options = postgres::Options::new(shop.reception_url(), 1);
    let pool = postgres::pool(&options, "test").expect("the URL is valid");
    write(&pool, "create table written ()").await;
    // Else it is the wait for a connection that is given up.
    eventually("the connection to be back", async || {
        match pool.num_idle() {
            1 => Ok(()),
            idle => Err(idle),
        }
    })
    .await;
    let proxy = shop.servers.postgres_proxy();
    proxy.delay(Duration::from_millis(50));
    let given_up = timeout(Duration::from_millis(20), postgres::begin(&pool)).await;
    assert!(given_up.is_err(), "it takes longer");
    eventually("the place to be free", async || pool.acquire().await).await;
    write(&pool, "insert into written default values").await;
    // Seen by another one, so it is committed.
    let found = count(&shop.reception_pool(), "select count(*) from written").await;
    assert_eq!(found, 1);
    shop.discard().await;
}

async fn write(pool: &PgPool, statement: &'static str) {
    let written = sqlx::query(statement).execute(pool).await;
    written.expect("the database is up");
}

async fn ask(connection: &mut PoolConnection<sqlx::Postgres>) {
    let answer = sqlx::query("select 1").execute(&mut **connection).await;
    answer.expect("no answer, rather than an error");
}

#[tokio::test]
async fn a_stop_under_load_leaves_no_event_unsent_no_lease_held_and_no_offset_behind() {
    let shop = crate::open_with(Options {
        processes: true,
        kafka_proxy: true,
        ..Options::default()
    })
    .await;
    // So that there is always a batch on the way.
    shop.servers.kafka_proxy().delay(Duration::from_millis(50));
    let customers = customers(&shop);
    for _ in 0..2 {
        until_served(&shop, 20).await;
        shop.barista.stop().await.expect("its exit code is 0");
        let committed = committed(&shop).await;

        shop.reception.stop().await.expect("its exit code is 0");
        let passed = paid_below(&shop, &committed).await;
        assert_eq!(log::handled(&shop).await, passed, "none comes again");
        for pool in [shop.reception_pool(), shop.barista_pool()] {
            assert_eq!(count(&pool, UNSENT).await, 0);
            assert_eq!(count(&pool, LEASED).await, 0);
        }
        shop.barista.start().await.expect("it starts again");
        shop.reception.start().await.expect("it starts again");
    }
    until_served(&shop, 20).await;
    drop(customers);
    shop.servers.kafka_proxy().heal();
    shop.close().await;
}
const LEASED: &str = "select count(*) from outbox_parts where lease_expire_time > now()";

/// By partition: where the barista's group goes on, as it has told Kafka.
async fn committed(shop: &Shop) -> HashMap<i32, i64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shop.servers.kafka_direct());
    config.set("group.id", format!("barista.{}", shop.name));
    let topic = shop.orders_topic();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(&topic, 0, 1);
        consumer.committed_offsets(partitions, Duration::from_secs(10))
    });
    let partitions = asked.await.expect("asking does not panic");
    let partitions = partitions.expect("Kafka answers");
    let offset = |offset| match offset {
        Offset::Offset(next) => next,
        _ => 0,
    };
    let partitions = partitions.elements();
    partitions
        .iter()
        .map(|p| (p.partition(), offset(p.offset())))
        .collect()
}

/// The payments of which the barista will not hear again. Whatever else is told of orders it passes by,
/// and does not remember.
async fn paid_below(shop: &Shop, committed: &HashMap<i32, i64>) -> BTreeSet<Uuid> {
    let paid = log::paid(shop).await;
    let below = paid
        .iter()
        .filter(|m| m.offset() < committed[&m.partition()]);
    below.map(log::event_id).collect()
}

#[tokio::test]
async fn ten_thousand_events_outlast_an_outage_of_kafka_and_cost_little_memory() {
    const EVENTS: usize = 10_000;
    const BYTES: usize = 8 * 1024;
    let options = Options {
        processes: true,
        kafka_proxy: true,
        ..Options::default()
    };
    let options = options.with(Service::Reception, "OUTBOX_BATCH", "50");
    let shop = Shop::prepare(options)
        .await
        .expect("databases and topics can be made");
    let (pool, proxy) = (shop.reception_pool(), shop.servers.kafka_proxy());
    shop.reception.start().await.expect("it starts");
    append(&pool, 1, BYTES).await;
    until_sent(&pool).await;

    proxy.cut();
    let reception = shop.reception.identity().await.expect("it is a child");
    let (before, mut peak) = (reception.memory(), 0);
    append(&pool, EVENTS, BYTES).await;
    let over = Instant::now() + outage();
    while Instant::now() < over {
        peak = peak.max(reception.memory());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(count(&pool, UNSENT).await >= EVENTS as i64, "none got out");
    proxy.heal();
    let sending = until_sent(&pool);
    let watching = async {
        loop {
            peak = peak.max(reception.memory());
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! { () = sending => {}, () = watching => {} }

    let told = log::read(&shop, &shop.orders_topic()).await;
    let ids: BTreeSet<String> = told
        .iter()
        .map(|message| log::headers(message)["ce_id"].clone())
        .collect();
    assert_eq!(ids.len(), EVENTS + 1, "each is out");
    let grown = peak.saturating_sub(before) as usize;
    println!(
        "reception grew by {} KiB while {} KiB waited",
        grown / 1024,
        EVENTS * BYTES / 1024
    );
    assert!(grown < EVENTS * BYTES / 2, "{grown} bytes more than before");
    shop.discard().await;
}

async fn append(pool: &PgPool, events: usize, bytes: usize) {
    let mut left = events;
    while left > 0 {
        let next = left.min(500);
        let events: Vec<Event> = (0..next)
            .map(|_| Event {
                payload: vec![7; bytes],
                ..event(order_id(), 1)
            })
            .collect();
        let mut tx = pool.begin().await.expect("the database is up");
        outbox::append(&mut tx, &events)
            .await
            .expect("the database is up");
        tx.commit().await.expect("the database is up");
        left -= next;
    }
}

async fn until_sent(pool: &PgPool) {
    eventually("all events to be sent", async || {
        match count(pool, UNSENT).await {
            0 => Ok(()),
            unsent => Err(unsent),
        }
    })
    .await;
}
