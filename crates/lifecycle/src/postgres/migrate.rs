//! Bringing a schema up to date while others run on it, of this version or another.
//!
//! Problem: an `alter table` waits for whoever reads the table, and all who come after wait behind
//! it. And while a release is rolled out, or taken back, processes start on a schema that is newer
//! than they are.
//! Guarantee: a migration waits for a table for `LOCK_PATIENCE`, then gives up its place and is tried
//! again; every tenth time for `VACUUM_PATIENCE`, or autovacuum would never give way to it. One
//! instance migrates at a time. A version starts on what a newer one added; on what a newer one took
//! away it refuses to, and so does everybody when a migration that has landed was edited.
//! Not guaranteed: that it has its locks for a short time. While it waits for a second table it keeps
//! the first: hence one table that is in use per migration. And whether it adds or takes away is told
//! by its name alone: `0007_contract_0005_….sql` is for versions that know migration 5. See
//! docs/upgrading.md.

use super::acquire;
use crate::Stop;
use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::{Migrate as _, MigrateError, Migration, Migrator},
    postgres::PgConnectOptions,
};
use std::{collections::BTreeMap, io, time::Duration};
use tokio::time::{self, Instant};

/// A connection attempt has no limit of its own in sqlx.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach the database, or to get at a table that is in use.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often a process that waits says so.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// For each table that is in use. Less than callers wait for a connection: those who queue behind a
/// migration are late, not refused.
const LOCK_PATIENCE: &str = "300ms";
/// Autovacuum gives way to who has waited for `deadlock_timeout`, a second unless the server was told
/// otherwise, and to nobody who gives up sooner. Callers who queue behind this are late, and those
/// who find no free connection for half a second are refused.
const VACUUM_PATIENCE: &str = "1200ms";
/// One try in so many is that patient.
const VACUUM_EVERY: u32 = 10;
/// The first that is: after a few seconds, in which whoever else reads the table may have gone.
const VACUUM_FIRST: u32 = 5;
/// A migration without a transaction is `create index concurrently` and the like: it waits for
/// others, and nobody waits behind it.
const NO_LIMIT: &str = "0";

/// A migration may rewrite a table. A later option wins over an earlier one.
const SETTINGS: [(&str, &str); 3] = [
    ("statement_timeout", NO_LIMIT),
    ("transaction_timeout", NO_LIMIT),
    ("lock_timeout", LOCK_PATIENCE),
];

/// Where sqlx remembers what was applied.
const TABLE: &str = "_sqlx_migrations";
/// The lock of who migrates: any number that nobody else locks in this database.
const LOCK: i64 = 0x6d69_6772_6174_6521;

/// What a migration has at the beginning of its name that takes away what older versions need.
const CONTRACT: &str = "contract";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("another instance migrates it")]
    Busy,
    #[error(
        "migration {0} was edited after this database had it: what has landed stays as it is, \
         and a change of it is a migration of its own"
    )]
    Edited(i64),
    #[error(
        "a newer version has taken away what this one needs (migration {version}: {description}); \
         start one that knows migration {needed}"
    )]
    Contracted {
        version: i64,
        description: String,
        needed: i64,
    },
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Migrate(MigrateError::Execute(error))
    }
}

/// Brings the schema up to date, and makes the pool's connections, so that the first callers do
/// not wait for them.
///
/// Waits as long as Postgres is away, a table is in use or another instance migrates, and says so;
/// a migration that fails is an error. Returns early when stopped.
pub async fn migrate(pool: &PgPool, migrator: &Migrator, stop: &Stop) -> anyhow::Result<()> {
    let options = (*pool.connect_options()).clone().options(SETTINGS);
    let migrated = async {
        until_migrated(&options, migrator).await?;
        acquire::fill(pool).await;
        Ok(())
    };
    tokio::select! {
        // Crash here: a migration is a transaction, or can be begun anew; the next start does it.
        () = stop.cancelled() => Ok(()),
        done = migrated => done,
    }
}

async fn until_migrated(options: &PgConnectOptions, migrator: &Migrator) -> anyhow::Result<()> {
    let mut said: Option<Instant> = None;
    let mut tries = 0_u32;
    loop {
        tries = tries.wrapping_add(1);
        let done = migrate_once(options, migrator, patience(tries)).await;
        let Some(what) = done.as_ref().err().and_then(waits_for) else {
            return done.context("migrating the database");
        };
        if said.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            let error = done.err().map(tracing::field::display);
            tracing::warn!(error, "waiting for {what}");
            said = Some(Instant::now());
        }
        time::sleep(RETRY_PAUSE).await;
    }
}

/// How long this try waits for a table.
const fn patience(tries: u32) -> &'static str {
    if tries % VACUUM_EVERY == VACUUM_FIRST {
        VACUUM_PATIENCE
    } else {
        LOCK_PATIENCE
    }
}

/// On a connection of its own: the pool's have limits that a migration may not have.
async fn migrate_once(
    options: &PgConnectOptions,
    migrator: &Migrator,
    patience: &str,
) -> Result<(), Error> {
    let mut connection = connect(options).await?;
    lock(&mut connection).await?;
    connection.ensure_migrations_table(TABLE).await?;
    let applied = applied(&mut connection).await?;
    refuse_contracted(&applied, migrator)?;
    // The way back of a reversible migration has its number, too, and is gone by hand.
    let forward = |migration: &&Migration| !migration.migration_type.is_down_migration();
    for migration in migrator.iter().filter(forward) {
        match applied.get(&migration.version) {
            Some(known) if known.checksum != *migration.checksum => {
                return Err(Error::Edited(migration.version));
            }
            Some(_) => {}
            None => apply(&mut connection, migration, patience).await?,
        }
    }
    // The schema is migrated by now; a failing goodbye changes nothing.
    connection.close().await.ok();
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    time::timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))?
}

/// The session's, so that it ends with it. Asked for, not waited for as sqlx would: a statement that
/// waits has a snapshot, and `create index concurrently` of the one who has the lock waits for that.
async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    let locked: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(connection)
        .await?;
    locked.then_some(()).ok_or(Error::Busy)
}

/// What was applied to this database, by whichever version.
#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    description: String,
    checksum: Vec<u8>,
}

async fn applied(connection: &mut PgConnection) -> sqlx::Result<BTreeMap<i64, Applied>> {
    let applied: Vec<Applied> =
        sqlx::query_as("select version, description, checksum from _sqlx_migrations")
            .fetch_all(connection)
            .await?;
    Ok(applied.into_iter().map(|one| (one.version, one)).collect())
}

/// What a newer version added is no concern of this one. sqlx would refuse that, too, and so every
/// older process that is started again while a release is rolled out.
fn refuse_contracted(applied: &BTreeMap<i64, Applied>, migrator: &Migrator) -> Result<(), Error> {
    let knows = |version| migrator.iter().any(|known| known.version == version);
    for one in applied.values().filter(|one| !knows(one.version)) {
        if let Some(needed) = needed(&one.description).filter(|needed| !knows(*needed)) {
            return Err(Error::Contracted {
                version: one.version,
                description: one.description.clone(),
                needed,
            });
        }
    }
    Ok(())
}

/// The migration that a version has to know to run on a schema that was contracted: 5 for
/// "contract 0005 drop channel", as sqlx reads it from the name of the file. A contraction that
/// does not say it is for nobody who does not know it itself.
fn needed(description: &str) -> Option<i64> {
    let mut words = description.split_whitespace();
    let contracts = words.next() == Some(CONTRACT);
    contracts
        .then(|| words.next().and_then(|word| word.parse().ok()))?
        .or(Some(i64::MAX))
}

async fn apply(
    connection: &mut PgConnection,
    migration: &Migration,
    patience: &str,
) -> Result<(), Error> {
    let Migration {
        version,
        description,
        no_tx,
        sql,
        ..
    } = migration;
    tracing::info!(version, %description, "migrating");
    set_patience(connection, patience).await?;
    if *no_tx {
        drop_unfinished_indexes(connection, sql.as_str()).await?;
        set_patience(connection, NO_LIMIT).await?;
    }
    connection.apply(TABLE, migration).await?;
    Ok(())
}

async fn set_patience(connection: &mut PgConnection, patience: &str) -> sqlx::Result<()> {
    sqlx::query("select set_config('lock_timeout', $1, false)")
        .bind(patience)
        .execute(connection)
        .await?;
    Ok(())
}

/// What `create index concurrently` leaves behind when it is cut off: an index that every write
/// maintains and nobody may use, and that `if not exists` would take for the whole one. One that
/// somebody builds by hand looks the same until it is whole. It has its table locked, and the next
/// try looks anew. Who waited without a limit would drop it once it is whole, or end it in a
/// deadlock: a build waits for whoever has a snapshot.
async fn drop_unfinished_indexes(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    let unfinished: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, indexrelid::regclass::text \
         from pg_index join pg_class on oid = indexrelid \
         where not indisvalid and relkind = 'i' and pg_get_userbyid(relowner) = current_user",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (_, index) in unfinished.iter().filter(|(name, _)| names(sql, name)) {
        tracing::warn!(index, "an index that was not finished is begun anew");
        // As Postgres quotes it.
        let statement = AssertSqlSafe(format!("drop index concurrently if exists {index}"));
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether a migration is about that index: those of others are none of its business.
fn names(sql: &str, index: &str) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word.eq_ignore_ascii_case(index))
}

/// What is waited for, if waiting can help. A wrong password stays wrong, and so does a broken
/// migration.
fn waits_for(error: &Error) -> Option<&'static str> {
    let error = match error {
        Error::Busy => return Some("another instance that migrates"),
        Error::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            error
        }
        _ => return None,
    };
    match error {
        sqlx::Error::Io(_) => Some("Postgres"),
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // Shutting down, crashed, or starting up. 53300: no free slot.
            Some("57P01" | "57P02" | "57P03" | "53300") => Some("Postgres"),
            // Not within its patience. 40P01: not without somebody else giving way.
            Some("55P03" | "40P01") => Some("a table that is in use"),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{LOCK_PATIENCE, VACUUM_PATIENCE, names, needed, patience};

    #[test]
    fn a_try_in_ten_waits_until_autovacuum_gives_way_the_first_of_them_soon() {
        let patient = (1..=25).filter(|tries| patience(*tries) == VACUUM_PATIENCE);
        assert_eq!(patient.collect::<Vec<_>>(), [5, 15, 25]);
        assert_eq!(patience(1), LOCK_PATIENCE);
    }

    #[test]
    fn a_migration_names_an_index_by_its_whole_name() {
        let sql = "create index concurrently if not exists Orders_channel on orders (channel);";
        assert!(names(sql, "orders_channel"));
        assert!(!names(sql, "orders_chan"));
        assert!(!names(sql, "channel_orders"));
    }

    #[test]
    fn a_contraction_says_in_its_name_whom_it_is_for() {
        assert_eq!(needed("contract 0005 drop channel"), Some(5));
        assert_eq!(needed("contract orders"), Some(i64::MAX));
        assert_eq!(needed("orders of contractors"), None);
    }
}
