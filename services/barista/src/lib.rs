//! Makes the drinks of paid orders.
//!
//! [`events`] hears of a paid order and [`store`] makes a ticket of it, with a drink per
//! unit. [`brewing`] has the drinks made: [`workforce`] says who brews what, and
//! [`store`] leases and books. [`ticket`] says what may happen to a ticket; each of its
//! revisions is told on Kafka as `announce` words it. What nobody can make, [`hopeless`]
//! gives up. `grpc` lets people look.
//!
//! ```text
//!  orders.v1 ─▶ inbox ─ events ─▶ tickets, drinks ◀─ brewing
//!                                       │
//!  tickets.v1 ◀─────── relay ◀────── outbox
//! ```

/// What is said about a ticket.
pub mod announce;
/// The loop that brews.
pub mod brewing;
// The sum of the components' options.
mod config;
// What it means to give a message up.
mod dropped;
/// What arrives from reception.
pub mod events;
// What people ask.
mod grpc;
/// Giving up what cannot be made.
pub mod hopeless;
// What an operator should see.
mod metrics;
/// The SQL.
pub mod store;
/// The state machine.
pub mod ticket;
/// Who brews what.
pub mod workforce;

pub use config::Config;

use brewing::Workforce;
use events::Orders;
use lifecycle::{Stop, Tasks, holding, postgres};
use messaging::{
    dead_letters::DeadLetters,
    housekeeping::Housekeeping,
    inbox::Inbox,
    outbox::{self, Waker},
    relay::Relay,
    tail::Tail,
};
use rpc::{server::Server, stream::Streams};
use sqlx::migrate::Migrator;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};

/// Also the consumer's name in the inbox: never to be changed.
const NAME: &str = "barista";
const READY_SERVICE: &str = "coffeeshop.barista.v1.BaristaService";
const SOURCE: &str = "/coffeeshop/barista";
/// What the loops may take to stop once the calls are drained. They bound their steps by
/// less.
const LOOPS_GRACE: Duration = Duration::from_secs(15);

/// Those who watch tickets. Marked as changed when there is something to see.
type Watchers = watch::Sender<()>;

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Serves on `listener` until `stop`, then drains.
///
/// Calls come first and go first: they are answered, if only by health, before the
/// database is up, and the loops run until the last call is over.
pub async fn run(config: Config, listener: TcpListener, stop: Stop) -> anyhow::Result<()> {
    let pool = postgres::pool(&config.postgres, NAME)?;
    let (relay_waker, workforce_waker) = (Waker::new(), Arc::new(Notify::new()));
    let orders = Orders {
        relay: relay_waker,
        workforce: workforce_waker,
    };
    let letters = DeadLetters::new(pool.clone(), NAME, orders.clone());
    let (watchers, retention) = (Watchers::new(()), config.housekeeping.outbox_retention);
    let streams = Streams::new(&config.streams, &stop);
    let tickets = grpc::service(pool.clone(), watchers.clone(), retention, streams);
    let server = Server::new(READY_SERVICE)
        .keepalive(config.server.keepalive)
        .watch_patience(config.streams.watch_patience)
        .add_service(tickets)
        .add_service(operations::dead_letters::service(letters));
    let readiness = server.readiness();
    let (address, grace) = (listener.local_addr()?, config.server.drain_grace);

    let mut tasks = Tasks::new(stop.clone());
    let drained = Stop::new();
    // Dropped even if the task panics: the loops must not wait for ever.
    let over = drained.clone().drop_guard();
    let serving = server.serve(listener, stop.clone(), grace);
    tasks.spawn("grpc", async move {
        let _over = over;
        serving.await
    });

    let started = start(config, pool, orders, watchers, &mut tasks, &drained).await;
    match &started {
        Ok(()) if drained.is_cancelled() => {}
        Ok(()) => {
            readiness.ready().await;
            tracing::info!(%address, "listening");
        }
        Err(_) => stop.cancel(),
    }
    let ended = tasks.join(grace + LOOPS_GRACE).await;
    started.and(ended)
}

/// Brings the schema up to date, then starts the loops.
async fn start(
    config: Config,
    pool: sqlx::PgPool,
    orders: Orders,
    watchers: Watchers,
    tasks: &mut Tasks,
    drained: &Stop,
) -> anyhow::Result<()> {
    let (kafka, topic) = (&config.kafka, config.orders_topic.clone());
    let housekeeping = Housekeeping::new(pool.clone(), kafka, topic, &config.housekeeping)?;
    postgres::migrate(&pool, &MIGRATIONS, drained).await?;
    outbox::refuse_foreign(&pool, drained).await?;
    housekeeping.open(drained).await;
    let (relay_waker, workforce_waker) = (orders.relay.clone(), orders.workforce.clone());
    let inbox = Inbox::new(
        pool.clone(),
        &config.kafka,
        NAME,
        &config.consumer_group,
        config.orders_topic,
        orders,
        &config.inbox,
    )?;
    let relay = Relay::new(
        pool.clone(),
        &config.kafka,
        SOURCE,
        config.tickets_topic,
        relay_waker.clone(),
        config.relay,
    )?
    .with_steps(announce::is_step);
    let attempts = config.brewing.drink_attempts;
    let hopeless = hopeless::run(pool.clone(), attempts, relay_waker.clone(), drained.clone());
    tasks.spawn("queue", metrics::watch(pool.clone(), drained.clone()));
    let watched = postgres::watch(pool.clone(), NAME, drained.clone());
    tasks.spawn("pool", watched);
    let tail = tail(pool.clone(), relay_waker.clone(), watchers, drained.clone());
    tasks.spawn("tail", tail);
    let workforce = Workforce::new(pool, &config.brewing, workforce_waker, relay_waker);
    // The relay outlives those who write events, to publish the last of them.
    let quiet = Stop::new();
    let writers = Arc::new(quiet.clone().drop_guard());
    let workforce = holding(writers.clone(), workforce.run(drained.clone()));
    tasks.spawn("workforce", workforce);
    tasks.spawn("hopeless", holding(writers.clone(), hopeless));
    tasks.spawn("inbox", holding(writers, inbox.run(drained.clone())));
    tasks.spawn("relay", relay.run(quiet));
    tasks.spawn("housekeeping", housekeeping.run(drained.clone()));
    Ok(())
}

/// Wakes those who watch.
async fn tail(
    pool: sqlx::PgPool,
    waker: Waker,
    watchers: Watchers,
    stop: Stop,
) -> anyhow::Result<()> {
    let watched = || watchers.receiver_count() > 0;
    let wake = |changes: &[_]| {
        if !changes.is_empty() {
            watchers.send_replace(());
        }
    };
    Tail::new(pool, waker).run(stop, watched, wake).await
}
