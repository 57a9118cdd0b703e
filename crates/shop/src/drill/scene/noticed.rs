//! Who must have noticed what was broken: a fault that nobody met proves nothing.
//!
//! Each kind of trouble has a witness that is silent in a shop that is whole. Two troubles at a time may
//! have the same one.

use std::time::Duration;

use anyhow::Result;

use super::{Calls, Scene, Trouble};
use crate::services::Service;

/// In a shop that is whole, no call takes that long.
const LATE: Duration = Duration::from_millis(500);
/// The same of an order, from placed to READY: those placed since the last fault began, `$1`.
const ORDERS_LATE: &str = "select count(*) from orders where create_time > $1 \
    and coalesce(ready_time, clock_timestamp()) - create_time > interval '1 second'";

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
        let from_us = before.from_us;
        Ok(match trouble {
            Trouble::KafkaLine(_) | Trouble::DatabaseLine(..) | Trouble::PaymentsLine(_) => {
                self.hits(trouble) > before.hits
            }
            Trouble::Killed(Reception, _)
            | Trouble::Paused(Reception, _)
            | Trouble::PostgresKilled => self.calls_since(from_us).suffered(LATE),
            Trouble::Killed(Barista, _) | Trouble::Paused(Barista, _) => {
                self.count_since_break(Reception, ORDERS_LATE).await? > 0
            }
            Trouble::KafkaKilled | Trouble::KafkaPaused => self.most_stale_since(from_us) > 0,
            Trouble::Killed(Payments, _) | Trouble::Paused(Payments, _) | Trouble::Provider(_) => {
                self.charges_failed_since(from_us)
            }
        })
    }
}

impl Calls {
    /// Whether any was answered anything but OK, or took longer than that.
    fn suffered(&self, late: Duration) -> bool {
        self.not_ok() > 0 || self.slowest() > late
    }
}
