//! The connection pool with its limits spelled out, and migrations that wait.
//!
//! Guaranteed: no call of `acquire` waits long for a connection, nor any for a statement, no
//! transaction stays open long, and a process started before its database waits for it. The limits are
//! set as connection options, so that the server keeps them even when this process is
//! gone: dropping a query's future does not cancel the query.
//!
//! Not guaranteed: noticing a vanished server while a statement runs. sqlx has no TCP
//! keepalive; callers put a timeout around what must not hang. What they give up on leaves
//! the pool within seconds; but a connection whose server vanishes within the one round trip
//! that sqlx makes when it comes back keeps its place until TCP gives up. Needs PostgreSQL 17
//! for `transaction_timeout`; an older server refuses the connection.

/// Connections that may be given up.
mod acquire;
/// Schemas that change under those who use them.
mod migrate;
/// Transactions that may be given up.
mod transaction;
/// How busy a pool is.
mod watch;

pub use acquire::acquire;
pub use migrate::migrate;
pub use transaction::begin;
pub use watch::watch;

use anyhow::{Context as _, bail};
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{fmt, fs, path::PathBuf, str::FromStr as _, time::Duration};
use tokio::time;

/// A connection attempt has no limit of its own in sqlx. Longer than any caller waits for it, so
/// that it succeeds on a machine that is busy: see `acquire`. Not much longer: a server that refuses
/// is asked again after a fifth of this at the latest, and nobody else has the place meanwhile.
const FILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the database is.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Options {
    /// The service's own database: `postgres://role:password@host:5432/name`
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// A file with that URL, for secrets that must not be in the environment
    #[arg(long, env, value_name = "PATH")]
    database_url_file: Option<PathBuf>,
    /// Most connections to the database at a time
    #[arg(long, env, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    database_connections: u32,
}

/// Without the URL: it holds the password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("database_url", &self.database_url.as_ref().map(|_| "***"))
            .field("database_url_file", &self.database_url_file)
            .field("database_connections", &self.database_connections)
            .finish()
    }
}

impl Options {
    /// Options that come from no command line.
    pub fn new(database_url: impl Into<String>, database_connections: u32) -> Self {
        Self {
            database_url: Some(database_url.into()),
            database_url_file: None,
            database_connections,
        }
    }

    fn url(&self) -> anyhow::Result<String> {
        match (&self.database_url, &self.database_url_file) {
            (Some(url), None) => Ok(url.clone()),
            (None, Some(path)) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read DATABASE_URL_FILE {}", path.display()))?;
                Ok(text.trim().to_owned())
            }
            (None, None) => bail!("no database: set DATABASE_URL or DATABASE_URL_FILE"),
            (Some(_), Some(_)) => bail!(
                "DATABASE_URL and DATABASE_URL_FILE are both set and could name different databases: set one"
            ),
        }
    }
}

/// A pool that connects when it is first used, so that it can be made while the
/// database is away.
pub fn pool(options: &Options, application_name: &str) -> anyhow::Result<PgPool> {
    let connect = PgConnectOptions::from_str(&options.url()?)
        .context("the database URL is not a valid postgres:// URL")?
        .application_name(application_name)
        .options(SETTINGS);
    Ok(PgPoolOptions::new()
        .max_connections(options.database_connections)
        // Of work that nobody waits for; a caller's is shorter, and in `acquire`.
        .acquire_timeout(FILL_TIMEOUT)
        // A connection that died while idle must not fail the call that draws it. One that
        // was in use a moment ago is not asked: that would be a round trip per transaction.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= ASK_AFTER {
                    let alive = time::timeout(ASK_PATIENCE, connection.ping()).await;
                    alive.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                }
                Ok(true)
            })
        })
        // One whose caller gave up must not keep its place for ever.
        .after_release(|connection, _| Box::pin(settle(connection)))
        // Both let a pool follow a database that moved, and shrink after a rush.
        .idle_timeout(Duration::from_secs(10 * 60))
        .max_lifetime(Duration::from_secs(30 * 60))
        .connect_lazy_with(connect))
}

/// How long a connection may lie idle until it is asked whether it is alive.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// What it gets to answer that. A server that has vanished must not hold one place of the pool
/// after the other.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
/// What a connection that comes back gets to answer what it was asked. Longer than the
/// server's limit for a statement, so that it bites only when the server has vanished.
const RETURN_PATIENCE: Duration = Duration::from_secs(3);

/// Waits for the answers that nobody waits for any more: to the statement of a caller who gave
/// up, to a rollback. sqlx waits for them, too, when it pings what comes back, but without a
/// limit. Costs nothing where no answer is due.
///
/// An error closes the connection without a goodbye that nobody would hear.
async fn settle(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let settled = time::timeout(RETURN_PATIENCE, connection.flush()).await;
    settled.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(true)
}

/// What one transaction or statement may take, seen from here: longer than the server's own
/// limits, so that it bites only when the server has vanished without a word.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// Bounds work on the database from this side. sqlx has no TCP keepalive: it waits for ever on
/// a server that vanished.
///
/// # Errors
/// The work's own, or [`sqlx::Error::PoolTimedOut`] when it took too long.
pub async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let done = time::timeout(PATIENCE, work).await;
    done.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

const SETTINGS: [(&str, &str); 5] = [
    // Ends what its caller gave up on: the server does not notice by itself.
    ("statement_timeout", "2s"),
    // A process that stalls inside a transaction holds row locks, and holds back the
    // horizon below which every relay of the server reads.
    ("idle_in_transaction_session_timeout", "5s"),
    // The same for a transaction that is busy, but never done.
    ("transaction_timeout", "10s"),
    // Every statement on a table that grows finds its rows by an index. On the small tables of a
    // new database the planner prefers to read them whole, and keeps that plan while they
    // grow, until somebody analyzes them: 2,500 rows read for each one wanted, in a load
    // run of half a minute.
    ("enable_seqscan", "off"),
    // Compiling a statement takes longer than any of ours; before PostgreSQL 18 the setting
    // above makes some look expensive enough for it.
    ("jit", "off"),
];

#[cfg(test)]
mod tests;
