//! The books: is the promise kept?
//!
//! What customers were told, what reception stored, what the barista booked and what the provider
//! charged are four accounts of the same orders, kept by four parties. They are read separately and
//! compared here; no service takes part.
//!
//! Guarantee: a finding is wrong in a shop that runs, too. Databases are read one after the other, so
//! orders are read before *and* after the other two: what an order's state implies is asked of the
//! earlier reading, what a drink or a charge implies of the later one.

use std::{collections::HashMap, fmt};

use anyhow::{Context as _, Result};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::history::Call;

/// `shop books`.
pub mod command;
/// The rows.
mod read;
/// Requests that were refused.
mod refusals;
/// The table for people.
mod report;
/// The comparison.
mod rules;
/// The topics as a witness.
pub mod topics;

use read::Entries;

/// Connections to the three databases.
#[derive(Clone, Debug)]
pub struct Ledgers {
    /// Orders.
    pub reception: PgPool,
    /// Drinks.
    pub barista: PgPool,
    /// Charges.
    pub payments: PgPool,
}

/// What the books say.
#[derive(Clone, Debug, Serialize)]
pub struct Books {
    /// What is wrong: nothing, if the promise is kept.
    pub findings: Vec<Finding>,
    /// The figures.
    pub summary: Summary,
}

/// Something that is wrong with one order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What must not be.
    pub rule: Rule,
    /// The order.
    pub order_id: Uuid,
    /// What was found.
    pub detail: String,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Rule {
    /// A customer was told that the order is placed, and it is not stored.
    Lost,
    /// The order is neither READY nor over, or its money or an answer to its customer is due.
    /// Asked of a shop in which nothing is in flight.
    Unfinished,
    /// The order is READY, and not each of its units was booked once.
    NotMadeAsOrdered,
    /// There is a ticket for an order that is not paid.
    MadeUnpaid,
    /// The order is paid, and there is not one charge of its total.
    NotChargedOnce,
    /// There is a charge without an order, or its order ended without coffee and without a
    /// word of a refund.
    ChargedForNothing,
    /// There is more than one charge for the order.
    ChargedTwice,
    /// The revisions of the order have a gap, or it went backwards.
    OrderHistoryBroken,
    /// The same of its ticket.
    TicketHistoryBroken,
    /// Order and ticket disagree on whether it is ready, or to be made at all.
    TicketDisagrees,
    /// What an order says of its refund is not so.
    RefundWrong,
    /// Money was given back that was not charged, or in part, or more than once; or the
    /// provider's payment and its refunds disagree.
    GivenBackWrong,
    /// A change of an order or a ticket is on no topic. Asked of a Kafka that forgot nothing.
    NotPublished,
    /// An event of ours is on a topic, of an order that no history knows. Asked together with that.
    NeverHappened,
    /// One request became two orders.
    PlacedTwice,
    /// A customer was told, each time they asked, that it is not done, and it was.
    DoneAndDenied,
}

/// The figures of the books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Orders that customers were told are placed.
    pub acknowledged: usize,
    /// Orders by state, in the sequence of an order's life.
    pub orders: Vec<(String, usize)>,
    /// Units in the orders that are paid for.
    pub drinks_ordered: i64,
    /// Drinks that the barista booked.
    pub drinks_booked: usize,
    /// Charges.
    pub charges: usize,
    /// The totals of the orders that are paid for, in minor units.
    pub ordered_minor: i64,
    /// What was charged, less what was given back.
    pub charged_minor: i64,
    /// Orders that ended without coffee and are to be refunded.
    pub refunds_owed: usize,
    /// What of their charges was not given back yet.
    pub owed_minor: i64,
    /// What was given back.
    pub refunded_minor: i64,
}

/// Reads and compares. `settled` says that nothing should be in flight any more.
pub async fn check(ledgers: &Ledgers, acknowledged: &[Uuid], settled: bool) -> Result<Books> {
    check_from(ledgers, Uuid::nil(), acknowledged, settled).await
}

/// The same of the orders from this id on. Ids rise with time: of a shop that has millions of
/// orders, only what is asked for is read.
pub async fn check_from(
    ledgers: &Ledgers,
    first: Uuid,
    acknowledged: &[Uuid],
    settled: bool,
) -> Result<Books> {
    let entries = Entries::read(ledgers, first)
        .await
        .context("cannot read the books")?;
    let findings = rules::findings(&entries, acknowledged, settled);
    Ok(Books {
        findings,
        summary: rules::summary(&entries, acknowledged),
    })
}

impl Books {
    /// Asks, too, whether what customers were told of their requests is so.
    pub async fn compare_with(&mut self, reception: &PgPool, calls: &[Call]) -> Result<()> {
        self.compare_calls(calls);
        let stored = refusals::stored(reception, calls).await;
        self.compare_refusals(&stored.context("cannot read what became of refused requests")?);
        Ok(())
    }

    /// Whether customers who repeated a request were told of one order.
    fn compare_calls(&mut self, calls: &[Call]) {
        let mut orders: HashMap<&str, Uuid> = HashMap::new();
        for call in calls {
            let Some(order_id) = call.answer.as_ref().and_then(|answer| answer.order_id) else {
                continue;
            };
            let first = *orders.entry(&call.request_id).or_insert(order_id);
            if first != order_id {
                self.findings.push(Finding {
                    rule: Rule::PlacedTwice,
                    order_id,
                    detail: format!("request {} was order {first} before", call.request_id),
                });
            }
        }
    }
}

impl Rule {
    /// What is wrong, for people.
    pub fn claim(self) -> &'static str {
        match self {
            Self::Lost => "acknowledged, and not stored",
            Self::Unfinished => "neither READY nor over, or a refund or an answer is due",
            Self::NotMadeAsOrdered => "READY, and not each unit booked once",
            Self::MadeUnpaid => "made, and not paid",
            Self::NotChargedOnce => "paid, and not charged its total once",
            Self::ChargedForNothing => "charged, and no coffee",
            Self::ChargedTwice => "charged more than once",
            Self::OrderHistoryBroken => "history of the order has a gap or went backwards",
            Self::TicketHistoryBroken => "history of the ticket has a gap or went backwards",
            Self::TicketDisagrees => "order and ticket disagree",
            Self::RefundWrong => "the refund is not as the order says",
            Self::GivenBackWrong => "not given back once and in full",
            Self::NotPublished => "it happened, and was not published",
            Self::NeverHappened => "it was published, and never happened",
            Self::PlacedTwice => "one request became two orders",
            Self::DoneAndDenied => "the customer was told that it is not done, and it was",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({})",
            self.order_id,
            self.rule.claim(),
            self.detail
        )
    }
}

#[cfg(test)]
mod tests;
