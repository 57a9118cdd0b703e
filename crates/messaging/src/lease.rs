//! Who may publish which part of the outbox.
//!
//! Several processes share one outbox, yet the events of one order must not be
//! published by two relays at a time for long. So each part is leased: a row with
//! an owner, an epoch and an expiry by the database's clock, changed only in short
//! transactions. Relays also leave a heartbeat, so that each can tell its fair share.
//!
//! A lease is a promise, not a lock: a relay that is stopped and woken after its
//! lease is gone may still send. It cannot move the cursor (the epoch is not its
//! own any more), so what it sends are duplicates, never gaps.

use crate::{metrics, outbox::PARTS};
use lifecycle::postgres::{acquire, begin, bounded};
use sqlx::{PgPool, postgres::types::PgInterval};
use std::{pin::pin, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// The leases of one relay.
pub(crate) struct Leases {
    pool: PgPool,
    /// This relay. New with every start: a restarted process is another owner.
    pub(crate) owner: Uuid,
    duration: Duration,
    next_balance: Instant,
}

impl Leases {
    pub(crate) fn new(pool: PgPool, duration: Duration) -> Self {
        Self {
            pool,
            owner: Uuid::now_v7(),
            duration,
            next_balance: Instant::now(),
        }
    }

    /// Waits for `work` and keeps what is held meanwhile, however long it takes.
    pub(crate) async fn kept_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut renewal = tokio::time::interval(self.renew_interval());
        renewal.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                // If it fails often enough for the lease to run out, the epoch fences us.
                _ = renewal.tick() => if let Err(error) = bounded(self.renew()).await {
                    tracing::debug!(%error, "leases not renewed");
                }
            }
        }
    }

    /// How long may pass between two renewals: two may fail before a lease is lost.
    fn renew_interval(&self) -> Duration {
        self.duration / 3
    }

    /// Takes, keeps and gives up parts, if it is time to.
    pub(crate) async fn balance_if_due(&mut self) -> sqlx::Result<()> {
        if Instant::now() < self.next_balance {
            return Ok(());
        }
        self.balance().await?;
        self.next_balance = Instant::now() + self.renew_interval();
        Ok(())
    }

    async fn balance(&self) -> sqlx::Result<()> {
        let mut tx = begin(&self.pool).await?;
        let fair = self.beat(&mut tx).await?;
        let mut held = self.renew_in(&mut tx).await?;
        if held > fair {
            self.give_up(&mut tx, held - fair).await?;
            held = fair;
        } else if held < fair {
            held += self.take(&mut tx, fair - held).await?;
        }
        tx.commit().await?;
        metrics::leases(held);
        Ok(())
    }

    /// Leaves a heartbeat and counts the living. Returns the fair share in parts.
    async fn beat(&self, conn: &mut sqlx::PgConnection) -> sqlx::Result<i64> {
        sqlx::query("delete from outbox_relays where expire_time < now()")
            .execute(&mut *conn)
            .await?;
        sqlx::query(
            "insert into outbox_relays (owner, expire_time) values ($1, now() + $2) \
             on conflict (owner) do update set expire_time = excluded.expire_time",
        )
        .bind(self.owner)
        .bind(interval(self.duration))
        .execute(&mut *conn)
        .await?;
        let live: i64 = sqlx::query_scalar("select count(*) from outbox_relays")
            .fetch_one(conn)
            .await?;
        Ok((i64::from(PARTS) + live - 1) / live.max(1))
    }

    /// Keeps what is held. A lease that has run out is not kept, even if nobody took
    /// it: taking it anew raises the epoch, which fences whatever is still in flight.
    async fn renew(&self) -> sqlx::Result<()> {
        let mut conn = acquire(&self.pool).await?;
        self.renew_in(&mut conn).await.map(|_| ())
    }

    async fn renew_in(&self, conn: &mut sqlx::PgConnection) -> sqlx::Result<i64> {
        let renewed = sqlx::query(
            "update outbox_parts set lease_expire_time = now() + $2 \
             where owner = $1 and lease_expire_time > now()",
        )
        .bind(self.owner)
        .bind(interval(self.duration))
        .execute(conn)
        .await?;
        Ok(i64::try_from(renewed.rows_affected()).unwrap_or(i64::MAX))
    }

    async fn take(&self, conn: &mut sqlx::PgConnection, count: i64) -> sqlx::Result<i64> {
        let taken = sqlx::query(
            "update outbox_parts set owner = $1, epoch = epoch + 1, lease_expire_time = now() + $2 \
             where part in (select part from outbox_parts where lease_expire_time <= now() \
                            order by part limit $3 for update skip locked)",
        )
        .bind(self.owner)
        .bind(interval(self.duration))
        .bind(count)
        .execute(conn)
        .await?;
        Ok(i64::try_from(taken.rows_affected()).unwrap_or(i64::MAX))
    }

    async fn give_up(&self, conn: &mut sqlx::PgConnection, count: i64) -> sqlx::Result<()> {
        sqlx::query(
            "update outbox_parts set owner = null, lease_expire_time = '-infinity' \
             where part in (select part from outbox_parts where owner = $1 \
                            order by part desc limit $2)",
        )
        .bind(self.owner)
        .bind(count)
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Gives everything up, so that others need not wait for the expiry.
    pub(crate) async fn release(&self) -> sqlx::Result<()> {
        let mut tx = begin(&self.pool).await?;
        self.give_up(&mut tx, i64::from(PARTS)).await?;
        sqlx::query("delete from outbox_relays where owner = $1")
            .bind(self.owner)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        metrics::leases(0);
        Ok(())
    }
}

pub(crate) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval {
        months: 0,
        days: 0,
        microseconds,
    }
}
