//! Asking after paid orders of which nothing is heard.
//!
//! Problem: what is said is not kept for ever. Kafka may be wiped, a retention may be
//! shorter than an outage, and a database that is restored from an older copy has
//! forgotten what the other side believes it knows.
//! Guarantee: an order that is PAID or PREPARING and silent for a while is announced
//! again: same revision, same snapshot, new event id. The barista makes a ticket if it
//! has none, and says where its ticket stands if it has. So whatever was lost in
//! between, in either direction, is said once more, and the revisions see to it that
//! it has its effect once.
//! Not guaranteed: an order that this database does not know. Nobody can ask after it;
//! what the barista says of it becomes a dead letter. Nor that a lost OrderFailed is
//! said again: what the barista makes of such an order is wasted.
//!
//! Any number of instances may run: each takes orders by putting the next time off.

use crate::{
    announce,
    store::overdue::{self, Overdue},
};
use lifecycle::{
    Stop,
    postgres::{begin, bounded},
};
use messaging::{
    backlog,
    event::Event,
    outbox::{self, Waker},
};
use sqlx::PgPool;
use std::time::Duration;

/// Orders taken at a time.
const BATCH: i64 = 200;
/// The longest pause between two questions after one order: a barista that is away for
/// a day finds some thirty of each, not three hundred.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The longest pause between two looks when nothing is overdue.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// Between two tries when the database refuses.
const RETRY: Duration = Duration::from_millis(500);
/// Less would ask after orders that are being made.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

/// When to ask.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How long nothing may be heard of a paid order until it is announced again. The
    /// pauses double from there. An order that waits its turn at the barista is asked
    /// after, too, which costs two messages.
    #[arg(long, env = "RECONCILE_AFTER", default_value = "5min", value_parser = silence)]
    pub reconcile_after: Duration,
}

fn silence(text: &str) -> anyhow::Result<Duration> {
    let silence = humantime::parse_duration(text)?;
    anyhow::ensure!(
        silence >= SHORTEST_SILENCE,
        "under {SHORTEST_SILENCE:?} every order would be announced twice"
    );
    Ok(silence)
}

/// What one call of [`Reconciler::ask`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Orders of which nothing was heard.
    pub overdue: usize,
    /// Of these, orders that were announced again. What was said of the others is
    /// still in the outbox.
    pub announced: usize,
}

/// Asks after silent orders.
pub struct Reconciler {
    pool: PgPool,
    waker: Waker,
    after: Duration,
}

impl Reconciler {
    /// A reconciler that has not looked yet.
    pub fn new(pool: PgPool, waker: Waker, options: Options) -> Self {
        let after = options.reconcile_after;
        Self { pool, waker, after }
    }

    /// Takes a batch of silent orders and announces them again.
    ///
    /// # Errors
    /// What the database answers. Nothing was announced then, and nothing put off.
    pub async fn ask(&self) -> sqlx::Result<Asked> {
        let mut tx = begin(&self.pool).await?;
        let silent = overdue::claim(&mut tx, BATCH, self.after, LONGEST_PAUSE).await?;
        if silent.is_empty() {
            return Ok(Asked::default());
        }
        // While the relay is behind, to say more would only make its way longer: an outage
        // of Kafka must not multiply what has to be published after it.
        let behind = backlog::parts_behind(&mut tx, self.after).await?;
        let said = |silent: &&Overdue| !behind.contains(&outbox::part(silent.order.order_id.0));
        let events: Vec<Event> = silent.iter().filter(said).map(announcement).collect();
        outbox::append(&mut tx, &events).await?;
        // Crash here: nothing is put off; whoever looks next asks.
        tx.commit().await?;
        self.waker.wake();
        Ok(Asked {
            overdue: silent.len(),
            announced: events.len(),
        })
    }

    /// Asks until it is told to stop.
    ///
    /// # Errors
    /// None today: a database that is away is tried again.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let look = (self.after / 4).min(LONGEST_LOOK);
        while !stop.is_cancelled() {
            let pause = match stop.run_until_cancelled(bounded(self.ask())).await {
                None => break,
                Some(Ok(Asked { overdue: 0, .. })) => look,
                Some(Ok(asked)) => {
                    tracing::info!(?asked, "asked after paid orders of which nothing was heard");
                    continue;
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "silent orders are not asked after yet");
                    RETRY
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(())
    }
}

fn announcement(silent: &Overdue) -> Event {
    announce::overdue(&silent.order, silent.trace.clone())
}
