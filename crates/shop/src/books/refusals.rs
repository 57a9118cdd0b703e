//! Requests that were refused each time they were made: is nothing done?
//!
//! One of which a single call is unknown may be done. Of those that were refused, only an order whose
//! charge was declined is stored.

use std::collections::HashMap;

use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::{Books, Finding, Rule};
use crate::history::{Call, Outcome};

/// The end of an order whose customer was told so.
const DECLINED: &str = "DECLINED";

/// What is stored of a request that was refused.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Stored {
    pub(super) request_id: Uuid,
    pub(super) order_id: Uuid,
    pub(super) state: String,
}

/// What reception has stored of requests whose calls all failed.
pub(super) async fn stored(reception: &PgPool, calls: &[Call]) -> sqlx::Result<Vec<Stored>> {
    let stored = "select request_id, order_id, state from orders where request_id = any($1)";
    let stored = sqlx::query_as(stored).bind(refused(calls));
    stored.fetch_all(reception).await
}

/// The requests whose calls all failed.
pub(super) fn refused(calls: &[Call]) -> Vec<Uuid> {
    let mut requests: HashMap<&str, bool> = HashMap::new();
    for call in calls {
        let refused = requests.entry(&call.request_id).or_insert(true);
        *refused &= call.outcome() == Outcome::Fail;
    }
    let refused = requests.into_iter().filter(|(_, refused)| *refused);
    refused.filter_map(|(id, _)| id.parse().ok()).collect()
}

impl Books {
    /// Asks of what is stored of refused requests whether it is as they were told.
    pub(super) fn compare_refusals(&mut self, stored: &[Stored]) {
        for order in stored.iter().filter(|order| order.state != DECLINED) {
            self.findings.push(Finding {
                rule: Rule::DoneAndDenied,
                order_id: order.order_id,
                detail: format!("request {} is {}", order.request_id, order.state),
            });
        }
    }
}
