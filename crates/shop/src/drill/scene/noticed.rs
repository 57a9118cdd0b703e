//! Who must have noticed what was broken: a fault that nobody met proves nothing.
//!
//! A line counts what its fault has hit. Whatever else is broken has a witness who fares at least twice
//! as badly as ever in the calm before the first fault: a busy machine alone is no fault. Two troubles
//! at a time may have the same witness, and one that was short may have none.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Scene, Trouble};
use crate::{drill::watching::STALE_SECONDS, services::Service};

/// In a shop that is whole, on a machine that is not busy, nobody waits that long.
const LATE: Duration = Duration::from_millis(500);
/// Whether an order placed since `$2` has waited for its drinks twice as long as any before `$1`.
const ORDERS_WAITED: &str = "select coalesce(max(waited) filter (where create_time >= $2) \
        > 2 * max(waited) filter (where create_time < $1), false) \
    from (select create_time, coalesce(ready_time, clock_timestamp()) - create_time as waited \
        from orders) o";

/// A look at the witnesses, before a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    from_us: u64,
    /// What the fault of its line had hit.
    hits: u64,
}

impl Scene {
    /// To be asked before a trouble begins.
    pub(crate) fn before(&self, trouble: Trouble) -> Before {
        Before {
            from_us: self.now_us(),
            hits: self.hits(trouble),
        }
    }

    /// Whether somebody has noticed it since. To be asked when it is mended: its witness may be a
    /// database that was down.
    pub(crate) async fn noticed(&self, trouble: Trouble, before: Before) -> Result<bool> {
        use Service::{Barista, Payments, Reception};
        let calm_us = self.notes.all().broken_us().unwrap_or(0);
        let (calm, since) = ((0, calm_us), (before.from_us, self.now_us()));
        Ok(match trouble {
            Trouble::KafkaLine(_) | Trouble::DatabaseLine(..) | Trouble::PaymentsLine(_) => {
                self.hits(trouble) > before.hits
            }
            Trouble::Killed(Reception, _)
            | Trouble::Paused(Reception, _)
            | Trouble::PostgresKilled => self.slowest(since) > LATE.max(2 * self.slowest(calm)),
            Trouble::Killed(Barista, _) | Trouble::Paused(Barista, _) => {
                self.orders_waited(calm_us, before.from_us).await?
            }
            Trouble::KafkaKilled | Trouble::KafkaPaused => {
                self.stalest(since) > STALE_SECONDS.max(2.0 * self.stalest(calm))
            }
            Trouble::Killed(Payments, _) | Trouble::Paused(Payments, _) | Trouble::Provider(_) => {
                self.charges_failed_in(since) > 2 * self.charges_failed_in(calm)
            }
        })
    }

    /// How long the slowest call took that was answered in that time, tries of one customer together.
    fn slowest(&self, (from_us, until_us): (u64, u64)) -> Duration {
        let calls = self.history.calls().into_iter();
        let answered = calls.filter(|call| {
            let answer = call.answer.as_ref();
            answer.is_some_and(|answer| (from_us..until_us).contains(&answer.answered_us))
        });
        let waited = answered.filter_map(|call| call.waited());
        waited.max().unwrap_or_default()
    }

    async fn orders_waited(&self, calm_us: u64, from_us: u64) -> Result<bool> {
        let waited = sqlx::query_scalar(ORDERS_WAITED);
        let waited = waited.bind(self.time(calm_us)?).bind(self.time(from_us)?);
        Ok(waited.fetch_one(&self.shop.reception_pool()).await?)
    }

    fn time(&self, us: u64) -> Result<DateTime<Utc>> {
        Ok(self.began_time() + TimeDelta::microseconds(i64::try_from(us)?))
    }
}
