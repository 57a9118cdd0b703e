//! The loop that brews.
//!
//! A round is one transaction: book whatever is brewed by now, take whatever waits. In
//! between, drinks brew side by side, each for its own time; a round begins when one is
//! done, when new tickets were committed, or after a while. There is no timer to fill a
//! batch: the more is going on, the more a round has to do.
//!
//! ```text
//!      ┌──────────────────────────────────────────────────────┐
//!      ▼                                                      │
//!  book ▸ take ▸ commit ─▶ brew, brew, brew … ─▶ one is done, or tickets came
//! ```
//!
//! Not guaranteed: that what is brewed gets booked. If this process is slow or dies, its
//! leases run out and others take over; the attempt tells whose booking counts.

use crate::{
    metrics,
    store::{self, Lease, Terms},
};
use anyhow::ensure;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lifecycle::{Stop, postgres::begin};
use messaging::outbox::Waker;
use sqlx::PgPool;
use std::{io, sync::Arc, time::Duration};
use telemetry::spans::happened;
use tokio::{sync::Notify, time};
use tracing::{Span, field::Empty};
use uuid::Uuid;

/// Between two looks at a queue in which nothing happens: what other processes put back
/// or let run out is found by looking only.
const POLL: Duration = Duration::from_millis(250);
/// Between two tries when the database refuses.
const RETRY: Duration = Duration::from_millis(500);
/// What a round gets, which takes milliseconds: sqlx would wait for a server that is gone
/// until TCP gives up.
const ROUND_PATIENCE: Duration = Duration::from_secs(5);
/// What a stopping process grants the drinks in hand.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// The shortest margin: booking takes a transaction.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// How drinks are brewed.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Factor on every brew time: 1 as in the recipes, 0 for drinks that take no time
    #[arg(long, env, default_value_t = 1.0, value_name = "FACTOR", value_parser = parse_scale)]
    pub brew_scale: f64,
    /// How much longer than its brew time a drink may take, until others may take it
    /// over. After a kill -9 its drinks wait for this long
    #[arg(long, env, default_value = "5s", value_parser = parse_lease)]
    pub drink_lease: Duration,
    /// How many leases on one drink may run out before it is done, until its order is given
    /// up: it ends FAILED, and is refunded
    #[arg(long, env, default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub drink_attempts: i32,
}

fn parse_scale(text: &str) -> anyhow::Result<f64> {
    let scale: f64 = text.parse()?;
    ensure!(
        (0.0..=100.0).contains(&scale),
        "a brew time is scaled by 0 to 100"
    );
    Ok(scale)
}

fn parse_lease(text: &str) -> anyhow::Result<Duration> {
    let lease = humantime::parse_duration(text)?;
    ensure!(
        lease >= SHORTEST_LEASE,
        "under {SHORTEST_LEASE:?} drinks would be taken over while they are being booked"
    );
    Ok(lease)
}

/// Brews what waits, for all baristas.
pub struct Workforce {
    pool: PgPool,
    terms: Terms,
    tickets: Arc<Notify>,
    relay: Waker,
    in_hand: FuturesUnordered<BoxFuture<'static, Cup>>,
    /// Not booked yet. Survives a failed round.
    brewed: Vec<Cup>,
}

/// A drink from its taking to its booking.
struct Cup {
    lease: Lease,
    span: Span,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Drinks booked.
    pub booked: usize,
    /// Drinks brewed for nothing: the booking came too late.
    pub too_late: usize,
    /// Drinks taken.
    pub taken: usize,
}

impl Workforce {
    /// A workforce that holds nothing yet. `tickets` wakes it, `relay` is woken by it.
    pub fn new(pool: PgPool, options: &Options, tickets: Arc<Notify>, relay: Waker) -> Self {
        let terms = Terms {
            owner: Uuid::now_v7(),
            scale: options.brew_scale,
            margin: options.drink_lease,
            attempts: options.drink_attempts,
        };
        Self {
            pool,
            terms,
            tickets,
            relay,
            in_hand: FuturesUnordered::new(),
            brewed: Vec::new(),
        }
    }

    /// Books what is brewed and takes what waits.
    pub async fn round(&mut self) -> sqlx::Result<Round> {
        let (in_time, leases) = time::timeout(ROUND_PATIENCE, self.transaction())
            .await
            .map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??;
        let round = Round {
            booked: in_time.iter().filter(|&&in_time| in_time).count(),
            too_late: in_time.iter().filter(|&&in_time| !in_time).count(),
            taken: leases.len(),
        };
        if round.booked + round.taken > 0 {
            self.relay.wake();
        }
        self.put_away(in_time);
        self.in_hand.extend(leases.into_iter().map(brew));
        metrics::round(&round, self.in_hand.len());
        Ok(round)
    }

    async fn transaction(&mut self) -> sqlx::Result<(Vec<bool>, Vec<Lease>)> {
        let brewed = self.brewed();
        let mut tx = begin(&self.pool).await?;
        let in_time = store::book_drinks(&mut tx, &brewed).await?;
        let leases = store::take_drinks(&mut tx, &self.terms).await?;
        // Crash here: nothing is booked, nothing is taken. The leases of what was brewed
        // run out, and others brew it again.
        tx.commit().await?;
        // Crash here: what was booked stays booked, and its events are in the outbox.
        // What was taken waits until its lease runs out.
        Ok((in_time, leases))
    }

    /// Waits for something to do. Takes along whatever else is brewed by then.
    async fn wait(&mut self) {
        tokio::select! {
            Some(cup) = self.in_hand.next() => self.brewed.push(cup),
            () = self.tickets.notified() => {}
            () = time::sleep(POLL) => {}
        }
        while let Some(Some(cup)) = self.in_hand.next().now_or_never() {
            self.brewed.push(cup);
        }
    }

    /// Brews until it is told to stop, then finishes what it can.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(round) => {
                    tracing::trace!(?round, "round");
                    stop.run_until_cancelled(self.wait()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "drinks wait");
                    stop.run_until_cancelled(time::sleep(RETRY)).await;
                }
            }
        }
        self.close().await;
        Ok(())
    }

    /// Takes nothing any more; books what is soon done, and hands back the rest.
    async fn close(mut self) {
        let finish = async {
            while let Some(cup) = self.in_hand.next().await {
                self.brewed.push(cup);
            }
        };
        // What is not done by then is handed back.
        time::timeout(STOP_PATIENCE, finish).await.ok();
        match time::timeout(STOP_PATIENCE, self.put_down()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(drinks)) => tracing::info!(drinks, "handed back half-brewed drinks"),
            // Their leases run out.
            Ok(Err(error)) => tracing::warn!(%error, "drinks in hand not handed back"),
            Err(_) => tracing::warn!("no time to hand back drinks"),
        }
    }

    async fn put_down(&mut self) -> sqlx::Result<u64> {
        let brewed = self.brewed();
        let mut tx = begin(&self.pool).await?;
        let in_time = store::book_drinks(&mut tx, &brewed).await?;
        let handed_back = store::hand_back(&mut tx, self.terms.owner).await?;
        // Crash here: as if the process had died with the drinks in its hands.
        tx.commit().await?;
        self.relay.wake();
        self.put_away(in_time);
        Ok(handed_back)
    }

    fn brewed(&self) -> Vec<Lease> {
        self.brewed.iter().map(|cup| cup.lease.clone()).collect()
    }

    /// After the commit, for until then a round may have to be repeated.
    fn put_away(&mut self, in_time: Vec<bool>) {
        for (cup, in_time) in self.brewed.drain(..).zip(in_time) {
            cup.done(in_time);
        }
    }
}

fn brew(lease: Lease) -> BoxFuture<'static, Cup> {
    let span = tracing::info_span!(
        "brew",
        coffeeshop.order.id = %lease.order_id,
        coffeeshop.drink.id = lease.drink,
        coffeeshop.drink.size = lease.size,
        coffeeshop.drink.line = lease.line,
        coffeeshop.drink.unit = lease.unit,
        coffeeshop.drink.attempt = lease.attempt,
        coffeeshop.barista.id = lease.barista_id,
        error.type = Empty,
    );
    lease.trace.set_as_parent(&span);
    if lease.starts_ticket {
        happened(&span, "coffeeshop.barista.v1.TicketStarted");
    }
    async move {
        // A timer fires a millisecond late, which is long where drinks take no time.
        if !lease.brew_time.is_zero() {
            time::sleep(lease.brew_time).await;
        }
        Cup { lease, span }
    }
    .boxed()
}

impl Cup {
    fn done(self, in_time: bool) {
        if !in_time {
            let Lease {
                line,
                unit,
                attempt,
                ..
            } = self.lease;
            let message = "brewed for nothing: the lease had run out, it was booked, or its order was given up";
            self.span.record("error.type", "too_late");
            self.span.in_scope(
                || tracing::warn!(coffeeshop.order.id = %self.lease.order_id, line, unit, attempt, message),
            );
        }
    }
}
