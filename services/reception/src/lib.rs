//! Takes orders, charges them, and tells the barista.
//!
//! Read it the way an order goes: `grpc` turns the wire into a request,
//! [`place_order`] stores it, has it charged by [`payment`] and records the outcome
//! through [`change`], by the rules of [`order`]. What [`settle`] finds owed, what
//! [`payment_window`] gives up and what [`events`] hears from the barista goes the same
//! way, and so does what customers want of it later: [`wish`]. `announce` says every
//! change on Kafka, [`reconcile`] says it again when nothing is heard, and `watch` wakes
//! those who look on.

/// What is said about an order on Kafka.
mod announce;
/// The one way to change a stored order.
pub mod change;
/// Options and their help.
pub mod config;
/// What placing an order takes.
pub mod counter;
/// What it means to give a message up.
mod dropped;
/// What arrives from the barista.
pub mod events;
/// Wire to domain, errors to statuses.
mod grpc;
/// What drinks cost.
pub mod menu;
/// What an operator should see.
mod metrics;
/// What an order is, and what may happen to it.
pub mod order;
/// Asking the provider.
pub mod payment;
/// Ending orders that are not paid in time.
pub mod payment_window;
/// Store, charge, record.
pub mod place_order;
/// Asking after paid orders of which nothing is heard.
pub mod reconcile;
/// Settling what orders owe the provider.
pub mod settle;
/// The SQL.
pub mod store;
/// Who looks on.
mod watch;
/// What customers want of an order that is placed.
pub mod wish;

use anyhow::Context as _;
use config::Config;
use counter::Counter;
use lifecycle::{Stop, Tasks, holding, postgres};
use messaging::{
    dead_letters::DeadLetters,
    housekeeping::Housekeeping,
    inbox::Inbox,
    outbox::{self, Waker},
    relay::Relay,
    tail::Tail,
};
use payment::Payments;
use payment_window::PaymentWindow;
use rpc::{server::Server, stream::Streams};
use sqlx::PgPool;
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
    let payments = Payments::new(&config.payments)?;
    let longest = payments.longest_call();
    let window = PaymentWindow::new(&pool, &waker, &config.window, longest)?;
    let (counter, committers) = Counter::new(pool.clone(), payments, &waker);
    let tickets = events::Tickets {
        waker: waker.clone(),
    };
    let letters = DeadLetters::new(pool.clone(), NAME, tickets.clone());
    let (kafka, group) = (&config.kafka, &config.consumer_group);
    let topic = config.tickets_topic.clone();
    let housekeeping = Housekeeping::new(pool.clone(), kafka, topic, &config.housekeeping)?;
    let inbox = Inbox::new(
        pool.clone(),
        kafka,
        NAME,
        group,
        config.tickets_topic,
        tickets,
        &config.inbox,
    )?;
    let relay = Relay::new(
        pool.clone(),
        kafka,
        SOURCE,
        config.orders_topic,
        waker.clone(),
        config.relay,
    )?
    .with_steps(announce::is_step);
    let reconciler = reconcile::Reconciler::new(pool.clone(), waker.clone(), config.reconcile);
    let tail = Tail::new(pool.clone(), waker);

    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let grace = config.server.drain_grace;
    let doors = grpc::Doors::new(config.max_placing, config.max_watching);
    let streams = Streams::new(&config.streams, &stop);
    let server = offered(&counter, doors, &watchers, letters, streams)
        .keepalive(config.server.keepalive)
        .watch_patience(config.streams.watch_patience);
    let readiness = server.readiness();
    let mut tasks = Tasks::new(stop.clone());
    let drained = Stop::new();
    // Dropped even if the task panics: the loops must not wait for ever.
    let serving = server.serve(listener, stop.clone(), grace);
    tasks.spawn("grpc", holding(drained.clone().drop_guard(), serving));
    postgres::migrate(&pool, &MIGRATIONS, &drained).await?;
    outbox::refuse_foreign(&pool, &drained).await?;
    housekeeping.open(&drained).await;
    // The relay outlives those who write events, to publish the last of them.
    let quiet = Stop::new();
    let writers = Arc::new(quiet.clone().drop_guard());
    committers.spawn(counter, window, &mut tasks, &drained, &writers);
    let reconciler = reconciler.run(drained.clone());
    tasks.spawn("reconciler", holding(writers.clone(), reconciler));
    tasks.spawn("inbox", holding(writers, inbox.run(drained.clone())));
    tasks.spawn("relay", relay.run(quiet));
    tasks.spawn("housekeeping", housekeeping.run(drained.clone()));
    let watched = postgres::watch(pool.clone(), NAME, drained.clone());
    tasks.spawn("pool", watched);
    wake(watchers, tail, pool, &mut tasks, &drained);
    if !stop.is_cancelled() {
        readiness.ready().await;
        tracing::info!(%address, "listening");
    }
    tasks.join(grace + STOP_GRACE).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Wakes those who look on.
fn wake(watchers: Watchers, tail: Tail, pool: PgPool, tasks: &mut Tasks, stop: &Stop) {
    let looking = watchers.clone().look_over(pool, stop.clone());
    tasks.spawn("watchers", looking);
    let watched = watchers.clone();
    let watched = move || watched.watched();
    let tail = tail.run(stop.clone(), watched, move |changes| watchers.wake(changes));
    tasks.spawn("tail", tail);
}

/// What is offered over gRPC.
fn offered(
    counter: &Counter,
    doors: grpc::Doors,
    watchers: &Watchers,
    letters: DeadLetters<events::Tickets>,
    streams: Streams,
) -> Server {
    let circuits = vec![counter.payments.breaker().clone()];
    let reception = grpc::service(counter.clone(), doors, watchers.clone(), streams.clone());
    Server::new(SERVICE)
        .add_service(reception)
        .add_service(operations::circuits::service(circuits, streams))
        .add_service(operations::dead_letters::service(letters))
}
