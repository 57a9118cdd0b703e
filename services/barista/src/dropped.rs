//! What it means that an operator gives a message up.
//!
//! Whoever drops what asks for an order says that the order cannot be made; who drops what
//! asks to cancel one that has no ticket lets it be cancelled. The tombstone says it
//! durably: in the transaction that ends the dead letter, with its event, so that reception
//! hears of it, and PAID, should it come again, meets it.

use crate::{
    events::{Heard, Orders},
    store::{self, NewTicket},
    ticket::Ticket,
};
use messaging::{
    dead_letters::{Consequence, GiveUp},
    inbox::{Handler as _, Message, Skipped},
};
use sqlx::PgConnection;
use uuid::Uuid;

impl GiveUp for Orders {
    async fn dropped(
        &self,
        conn: &mut PgConnection,
        message: &Message,
        reason: &str,
    ) -> sqlx::Result<Consequence> {
        let order_id = message.order_id;
        let heard = match self.decode(message) {
            Ok(heard) => Some(heard),
            Err(Skipped::NotOurs) => {
                return Ok(Consequence::Unaffected(format!(
                    "It asked nothing of the barista: order {order_id} goes on."
                )));
            }
            // What this version cannot read may have been all that asked for the order.
            Err(Skipped::DeadLetter(_)) => None,
        };
        let heard = heard.as_ref();
        let cancels = heard.is_some_and(Heard::wants_to_cancel);
        let tombstone = NewTicket {
            ticket: match cancels {
                true => Ticket::cancelled(order_id, message.trace.clone()),
                false => Ticket::failed(order_id, reason.to_owned(), message.trace.clone()),
            },
            order_revision: heard.map_or(0, |heard| heard.revision),
            drinks: Vec::new(),
        };
        if store::queue(conn, vec![tombstone]).await?.is_empty() {
            return Ok(has_a_ticket(order_id, heard));
        }
        Ok(match cancels {
            true => Consequence::Unaffected(format!(
                "Order {order_id} is cancelled all the same, and nothing of it is made."
            )),
            false => Consequence::OrderFails(format!(
                "Order {order_id} ends FAILED, and what was charged for it is owed."
            )),
        })
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

/// What it means for an order that somebody makes, or has made.
fn has_a_ticket(order_id: Uuid, heard: Option<&Heard>) -> Consequence {
    if heard.is_some_and(Heard::wants_an_end) {
        return Consequence::MayWait(format!(
            "Order {order_id} has a ticket, and is still made, though reception wants it \
             cancelled or has given it up."
        ));
    }
    Consequence::Unaffected(format!(
        "Order {order_id} has a ticket, which goes on as it is."
    ))
}
