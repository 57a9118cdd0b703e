//! Beginning a transaction that may be given up while it begins.
//!
//! Problem: sqlx takes a transaction as begun when the server has said so. Who gives up before that,
//! because of a timeout or because a caller has left, hands a connection back to the pool on which
//! the server has a transaction open, and sqlx knows of none. What the next one writes there is
//! reported as done, and is gone when the server ends that transaction. (sqlx 0.9.0; its issue 4393.)
//! Guarantee: what is begun is begun to the end, whoever still waits for it; if nobody does, it is
//! rolled back.
//! Not guaranteed: that of a server which says so only after `PATIENCE`.

use super::{acquire, bounded};
use sqlx::{PgPool, Postgres, Transaction};
use std::io;

/// Begins a transaction. May be dropped at any moment.
///
/// # Errors
/// What the pool or the database answers, or that the latter took longer than `PATIENCE`.
pub async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    // Who gives up while it waits for a connection leaves no transaction behind.
    let connection = acquire(pool).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "it has to outlive whoever gives up on it; each holds one of the pool's connections"
    )]
    let begun = tokio::spawn(bounded(Transaction::begin(connection, None)));
    // It neither panics nor is aborted, but for the end of the runtime.
    begun
        .await
        .unwrap_or_else(|error| Err(sqlx::Error::Io(io::Error::other(error))))
}
