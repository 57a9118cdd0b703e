//! What was written, for people and for programs.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;
use sqlx::PgPool;

use crate::books::Ledgers;

/// What filling took, and what is there now.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    orders: u64,
    storing_seconds: f64,
    /// While storing.
    orders_per_second: f64,
    /// With vacuum and checkpoint.
    seconds: f64,
    databases: Vec<Size>,
}

/// How large a database is, whatever it holds.
#[derive(Debug, Serialize)]
struct Size {
    database: &'static str,
    mib: f64,
}

impl Report {
    pub(super) async fn read(
        ledgers: &Ledgers,
        orders: u64,
        storing: Duration,
        took: Duration,
    ) -> Result<Self> {
        Ok(Self {
            orders,
            storing_seconds: storing.as_secs_f64(),
            orders_per_second: rate(orders, storing),
            seconds: took.as_secs_f64(),
            databases: vec![
                size("reception", &ledgers.reception).await?,
                size("barista", &ledgers.barista).await?,
                size("payments", &ledgers.payments).await?,
            ],
        })
    }
}

async fn size(database: &'static str, pool: &PgPool) -> Result<Size> {
    let mib = sqlx::query_scalar(
        "select (pg_database_size(current_database()) / 1024.0 / 1024.0)::float8",
    );
    let mib = mib.fetch_one(pool).await?;
    Ok(Size { database, mib })
}

/// How many a second.
pub(super) fn rate(orders: u64, time: Duration) -> f64 {
    let orders = f64::from(u32::try_from(orders).unwrap_or(u32::MAX));
    orders / time.as_secs_f64().max(f64::EPSILON)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (orders, storing) = (self.orders, self.storing_seconds);
        writeln!(f, "{:<28}{orders:>10} in {storing:.1} s", "orders stored")?;
        writeln!(f, "{:<28}{:>10.0} /s", "", self.orders_per_second)?;
        writeln!(
            f,
            "{:<28}{:>10.1} s",
            "with vacuum and checkpoint", self.seconds
        )?;
        write!(f, "\n{:<16}{:>10}", "database", "MiB")?;
        for Size { database, mib } in &self.databases {
            write!(f, "\n{database:<16}{mib:>10.0}")?;
        }
        Ok(())
    }
}
