//! The SQL of tickets and drinks. The caller owns the transaction.
//!
//! Whoever changes tickets locks them first, all at once and ordered by order id, and
//! their drinks after that: so transactions that overlap wait for each other, but never
//! in a circle. Taking drinks skips whatever is locked; it never waits, so it may follow
//! booking in one transaction.
//!
//! Every new revision of a ticket is a history row and an event in the outbox, written
//! by the same function.

// Booking drinks as made, and handing them back.
mod book;
// Ending tickets before they are made.
mod end;
// Finding drinks that nobody will make.
mod hopeless;
/// Reading for people: tickets and baristas.
pub mod list;
// Paid orders become tickets.
mod queue;
// Giving drinks to baristas.
mod take;
// Telling again where tickets stand.
mod tell;
// Reading, locking and revising tickets.
mod tickets;
/// Reading for those who watch.
pub mod watched;

pub use book::{book_drinks, hand_back};
pub use end::end;
pub use hopeless::{lock_hopeless, nobody_can};
pub use list::count_waiting;
pub use queue::{NewDrink, NewTicket, Recipe, queue, raise_order_revisions, recipes};
pub use take::{Lease, Terms, take_drinks};
pub use tell::tell_again;
pub use tickets::lock_order_revisions;

/// One column of a batch, for UNNEST.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
