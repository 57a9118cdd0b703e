//! Takes orders, charges them, and tells the barista.
//!
//! Read it the way an order goes: `grpc` turns the wire into a request,
//! [`place_order`] stores it, has it charged by [`payment`] and records the outcome
//! through [`change`], by the rules of [`order`]. What [`settle`] finds undecided and
//! what [`events`] hears from the barista goes the same way. `announce` says every
//! change on Kafka, [`reconcile`] says it again when nothing is heard, and `watch`
//! wakes those who look on.

/// What is said about an order on Kafka.
mod announce;
/// The one way to change a stored order.
pub mod change;
/// Options and their help.
pub mod config;
/// What arrives from the barista.
pub mod events;
/// Wire to domain, errors to statuses.
mod grpc;
/// What an order is, and what may happen to it.
pub mod order;
/// Asking the provider.
pub mod payment;
/// Store, charge, record.
pub mod place_order;
/// Asking after paid orders of which nothing is heard.
pub mod reconcile;
/// Settling what was left undecided.
pub mod settle;
/// The SQL.
pub mod store;
/// Who looks on.
mod watch;

use anyhow::Context as _;
use config::Config;
use lifecycle::{Stop, Tasks, holding, postgres};
use messaging::{inbox::Inbox, outbox::Waker, relay::Relay, tail::Tail};
use payment::Payments;
use place_order::Counter;
use rpc::server::Server;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use watch::Watchers;

const NAME: &str = "reception";
const SERVICE: &str = "coffeeshop.reception.v1.ReceptionService";
const SOURCE: &str = "/coffeeshop/reception";
/// What the background work gets to stop, after the calls have been drained.
const STOP_GRACE: Duration = Duration::from_secs(15);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Runs reception until `stop`, or until a part of it fails.
///
/// # Errors
/// A part failed, or did not stop in time.
pub async fn run(config: Config, listener: TcpListener, stop: Stop) -> anyhow::Result<()> {
    let pool = postgres::pool(&config.postgres, NAME)?;
    let (waker, watchers) = (Waker::new(), Watchers::default());
    let payments = Payments::new(&config.payments_url, config.charge_timeout)?;
    let counter = Counter {
        pool: pool.clone(),
        payments,
        waker: waker.clone(),
    };
    let tickets = events::Tickets {
        waker: waker.clone(),
    };
    let (kafka, group) = (&config.kafka, &config.consumer_group);
    let inbox = Inbox::new(
        pool.clone(),
        kafka,
        NAME,
        group,
        config.tickets_topic,
        tickets,
    )?;
    let topic = config.orders_topic;
    let relay = Relay::new(
        pool.clone(),
        kafka,
        SOURCE,
        topic,
        waker.clone(),
        config.relay,
    )?;
    let reconciler = reconcile::Reconciler::new(pool.clone(), waker.clone(), config.reconcile);
    let tail = Tail::new(pool.clone(), waker);

    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let grace = config.server.drain_grace;
    let server = Server::new(SERVICE).add_service(grpc::service(
        counter.clone(),
        watchers.clone(),
        stop.clone(),
    ));
    let readiness = server.readiness();
    let mut tasks = Tasks::new(stop.clone());
    let drained = Stop::new();
    // Dropped even if the task panics: the loops must not wait for ever.
    let serving = server.serve(listener, stop.clone(), grace);
    tasks.spawn("grpc", holding(drained.clone().drop_guard(), serving));
    postgres::migrate(&pool, &MIGRATIONS, &drained).await?;
    // The relay outlives those who write events, to publish the last of them.
    let quiet = Stop::new();
    let writers = Arc::new(quiet.clone().drop_guard());
    let sweeper = settle::run(counter, drained.clone());
    tasks.spawn("sweeper", holding(writers.clone(), sweeper));
    let reconciler = reconciler.run(drained.clone());
    tasks.spawn("reconciler", holding(writers.clone(), reconciler));
    tasks.spawn("inbox", holding(writers, inbox.run(drained.clone())));
    tasks.spawn("relay", relay.run(quiet));
    tasks.spawn(
        "tail",
        tail.run(drained, move |changes| watchers.wake(changes)),
    );
    if !stop.is_cancelled() {
        readiness.ready().await;
        tracing::info!(%address, "listening");
    }
    tasks.join(grace + STOP_GRACE).await?;
    tracing::info!("stopped");
    Ok(())
}
