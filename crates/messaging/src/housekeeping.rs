//! Making room: sent events and old memories leave.
//!
//! Problem: outbox and inbox grow with every event, and deleting row by row costs as much as
//! writing did.
//! Guarantee: both tables are divided into days. A day that is over leaves whole, while traffic
//! runs, without a lock that an insert or a relay would wait for. An event that is not sent
//! stays, however old. An id that the inbox has forgotten is refused, so that its event is
//! parked and not handled again.
//! Not guaranteed: that a day leaves on time. It waits for whoever may still look into it.
//!
//! ```text
//!  make the days to come ▶ finish what a crash left ▶ is it over, and sent? ▶ mark ▶ detach ▶ drop
//! ```

/// Detaching without stopping anybody.
mod leave;
/// Which days there are, and making those to come.
mod partitions;
/// How long to keep what, and whether that suits Kafka.
mod retention;

pub(crate) use partitions::id_time;
pub use retention::Options;

use crate::kafka;
use chrono::{DateTime, TimeDelta, Utc};
use lifecycle::postgres::bounded;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, postgres::PgConnectOptions,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two passes.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// Between two tries to open.
const RETRY: Duration = Duration::from_secs(1);
/// What a pass may take, seen from here. Each of its statements has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The lock of who keeps house: any number that nobody else locks in this database.
const LOCK: i64 = 0x686f_7573_656b_6565;

/// Detaching is mostly waiting for transactions to end, ours after 10 s, other people's when
/// they like. A later option wins over an earlier one.
const SETTINGS: [(&str, &str); 2] = [("statement_timeout", "30s"), ("transaction_timeout", "60s")];

/// Keeps house in the database of a service. All its processes may; one at a time does.
pub struct Housekeeping {
    pool: PgPool,
    connect: PgConnectOptions,
    kafka: kafka::Options,
    topic: String,
    outbox: Duration,
    inbox: Duration,
}

/// What one call of [`Housekeeping::pass`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Another process is at it: nothing was done.
    pub busy: bool,
    /// Partitions that were made.
    pub made: usize,
    /// Partitions that left.
    pub left: usize,
    /// Partitions that are over, and stay because they hold an event that is not sent.
    pub unsent: usize,
}

impl Housekeeping {
    /// For outbox and inbox in the database of `pool`; `topic` is what the inbox consumes.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn new(
        pool: PgPool,
        kafka: &kafka::Options,
        topic: String,
        options: &Options,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            connect: (*pool.connect_options()).clone().options(SETTINGS),
            outbox: options.outbox_retention,
            inbox: options.inbox_retention(kafka)?,
            kafka: kafka.clone(),
            topic,
            pool,
        })
    }

    /// Waits until both tables have a partition for today: a service that was off for weeks
    /// finds none. To be called before anything is written.
    pub async fn open(&self, stop: &CancellationToken) {
        let opened = async {
            loop {
                match bounded(self.try_open()).await {
                    Ok(true) => break,
                    Ok(false) => tracing::debug!("another process makes today's partitions"),
                    Err(error) => tracing::warn!(%error, "waiting for today's partitions"),
                }
                sleep(RETRY).await;
            }
        };
        stop.run_until_cancelled(opened).await;
    }

    async fn try_open(&self) -> sqlx::Result<bool> {
        let now = self.database_time().await?;
        let mut conn = self.connect.connect().await?;
        if !partitions::open(&mut conn, now).await? && lock(&mut conn).await? {
            partitions::make(&mut conn, now).await?;
        }
        let open = partitions::open(&mut conn, now).await?;
        conn.close().await?;
        Ok(open)
    }

    /// Makes the partitions of the days to come, and lets go of those that are over.
    ///
    /// # Errors
    /// What the database answers. The next pass goes on where this one stopped.
    pub async fn pass(&self, now: DateTime<Utc>) -> sqlx::Result<Pass> {
        let mut conn = self.connect.connect().await?;
        // The lock is the session's: it ends with it, even if this process is killed.
        let pass = match lock(&mut conn).await {
            Ok(true) => self.keep(&mut conn, now).await,
            Ok(false) => Ok(Pass {
                busy: true,
                ..Pass::default()
            }),
            Err(error) => Err(error),
        };
        // What was done is durable; a failing goodbye changes nothing.
        conn.close().await.ok();
        pass
    }

    async fn keep(&self, conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Pass> {
        let made = partitions::make(conn, now).await?;
        let outbox = leave::outbox(conn, before(now, self.outbox)).await;
        // A reader that holds up the one is no reason to let the other grow.
        let inbox = leave::inbox(conn, before(now, self.inbox)).await;
        let (outbox, inbox) = (outbox?, inbox?);
        Ok(Pass {
            busy: false,
            made,
            left: outbox.left + inbox.left,
            unsent: outbox.unsent,
        })
    }

    /// Passes every few minutes until it is told to stop, and compares with Kafka.
    ///
    /// # Errors
    /// None today: whatever goes wrong is said and tried again.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let work = async { tokio::join!(self.keep_passing(), self.keep_comparing()) };
        // Crash here: wherever it is, the next pass finds what it left, and finishes it.
        stop.run_until_cancelled(work).await;
        Ok(())
    }

    async fn keep_passing(&self) {
        loop {
            let pass = async { self.pass(self.database_time().await?).await };
            match timeout(PATIENCE, pass).await {
                Ok(Ok(pass)) if pass.unsent > 0 => {
                    tracing::warn!(?pass, "old events stay, because they are not sent");
                }
                Ok(Ok(pass)) => tracing::debug!(?pass, "housekeeping"),
                Ok(Err(error)) => tracing::warn!(%error, "housekeeping goes on in its next pass"),
                Err(_) => tracing::warn!(?PATIENCE, "housekeeping takes too long"),
            }
            sleep(EVERY).await;
        }
    }

    /// By the clock that stamps the rows of the outbox.
    async fn database_time(&self) -> sqlx::Result<DateTime<Utc>> {
        sqlx::query_scalar("select now()")
            .fetch_one(&self.pool)
            .await
    }
}

/// Tries to become the one who keeps house.
async fn lock(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(conn)
        .await
}

/// The time that long ago; of a retention longer than the calendar, its beginning.
fn before(now: DateTime<Utc>, retention: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(retention)
        .ok()
        .and_then(|retention| now.checked_sub_signed(retention))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}
