//! What it means that an operator gives a message up.
//!
//! Whoever drops what asks for an order says that the order cannot be made. The tombstone
//! says it durably: in the transaction that ends the dead letter, with its event, so that
//! reception hears of it, and PAID, should it come again, meets it.

use crate::{
    events::Orders,
    store::{self, NewTicket},
    ticket::Ticket,
};
use messaging::{
    dead_letters::{Consequence, GiveUp},
    inbox::{Handler as _, Message, Skipped},
};
use sqlx::PgConnection;

impl GiveUp for Orders {
    async fn dropped(
        &self,
        conn: &mut PgConnection,
        message: &Message,
        reason: &str,
    ) -> sqlx::Result<Consequence> {
        let order_id = message.order_id;
        let (order_revision, wants_an_end) = match self.decode(message) {
            Ok(heard) => (heard.revision, heard.wants_an_end()),
            Err(Skipped::NotOurs) => {
                return Ok(Consequence::Unaffected(format!(
                    "It asked nothing of the barista: order {order_id} goes on."
                )));
            }
            // What this version cannot read may have been all that asked for the order.
            Err(Skipped::DeadLetter(_)) => (0, false),
        };
        let tombstone = NewTicket {
            ticket: Ticket::failed(order_id, reason.to_owned(), message.trace.clone()),
            order_revision,
            drinks: Vec::new(),
        };
        if store::queue(conn, vec![tombstone]).await?.is_empty() {
            if wants_an_end {
                return Ok(Consequence::MayWait(format!(
                    "Order {order_id} has a ticket, and is still made, though reception wants it \
                     cancelled or has given it up."
                )));
            }
            return Ok(Consequence::Unaffected(format!(
                "Order {order_id} has a ticket, which goes on as it is."
            )));
        }
        Ok(Consequence::OrderFails(format!(
            "Order {order_id} ends FAILED, and what was charged for it is owed."
        )))
    }

    async fn unpublished(
        &self,
        _conn: &mut PgConnection,
        event: &Message,
        _reason: &str,
    ) -> sqlx::Result<Consequence> {
        let order_id = event.order_id;
        Ok(Consequence::MayWait(format!(
            "Reception is not told of this. Order {order_id} stays as it is until reception hears \
             of its ticket again."
        )))
    }
}
