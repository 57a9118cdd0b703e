//! What arrives from reception on `orders.v1`.
//!
//! Decided by the snapshot and the revision, not by the event's case: an event that was
//! overtaken, or whose case this version does not know, still says where the order
//! stands. An order that is paid and has no ticket gets one. Whether it has one decides,
//! not what was heard of it before: PAID is acted on even if READY came first.
//!
//! One case is a question: reception has heard nothing of a paid order for a while. It is
//! answered with the ticket as it stands. If there is none, whatever reception believes, one
//! is made: nothing in this book says that the order was.

use crate::{
    store::{self, NewDrink, NewTicket, Recipe},
    ticket::Ticket,
};
use messaging::{
    inbox::{Absorbed, Handler, Message, Outcome, Skipped},
    outbox::Waker,
};
use prost::Message as _;
use proto::reception::v1::{
    CancelState, OrderEvent, OrderSnapshot, OrderState, OrderedDrink, order_event::Event as Case,
};
use sqlx::PgConnection;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use telemetry::propagation::TraceContext;
use tokio::sync::Notify;
use uuid::Uuid;

/// The contract's limit of lines in an order, and of units in a line.
const LIMIT: usize = 20;

/// Makes tickets of paid orders.
pub struct Orders {
    /// Wakes the relay: a ticket is announced.
    pub relay: Waker,
    /// Wakes the workforce: there is something to brew.
    pub workforce: Arc<Notify>,
}

impl Handler for Orders {
    type Event = Heard;

    fn decode(&self, message: &Message) -> Result<Heard, Skipped> {
        hear(message)
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        heard: &[&Heard],
    ) -> sqlx::Result<Vec<Outcome>> {
        let mut order_ids: Vec<Uuid> = heard.iter().map(|h| h.order_id).collect();
        order_ids.sort_unstable();
        order_ids.dedup();
        let mut batch = Batch::new(
            store::lock_order_revisions(conn, &order_ids).await?,
            store::recipes(conn).await?,
        );
        let outcomes = heard.iter().map(|heard| batch.decide(heard)).collect();
        store::queue(conn, batch.new).await?;
        store::raise_order_revisions(conn, &batch.raised).await?;
        store::tell_again(conn, &batch.asked).await?;
        Ok(outcomes)
    }

    fn committed(&self) {
        self.relay.wake();
        self.workforce.notify_one();
    }
}

/// A paid order, as far as a barista cares.
#[derive(Debug)]
pub struct Heard {
    order_id: Uuid,
    revision: i64,
    /// Whether reception asks where the ticket stands.
    overdue: bool,
    items: Vec<OrderedDrink>,
    trace: TraceContext,
}

/// Reads a message, or says why there is nothing to do.
fn hear(message: &Message) -> Result<Heard, Skipped> {
    let event = OrderEvent::decode(message.payload.clone())
        .map_err(|error| Skipped::DeadLetter(format!("not an OrderEvent: {error}")))?;
    if event.order_id != message.order_id.to_string() {
        let reason = format!("ce_subject and order_id ({:?}) differ", event.order_id);
        return Err(Skipped::DeadLetter(reason));
    }
    if event.revision < 1 {
        let reason = format!("revision {} is not one", event.revision);
        return Err(Skipped::DeadLetter(reason));
    }
    let overdue = matches!(event.event, Some(Case::Overdue(_)));
    let snapshot = event
        .snapshot
        .ok_or_else(|| Skipped::DeadLetter("the snapshot is missing".into()))?;
    only_paid(&snapshot, overdue)?;
    Ok(Heard {
        order_id: message.order_id,
        revision: event.revision,
        overdue,
        items: snapshot.items,
        trace: message.trace.clone(),
    })
}

/// Lets an order pass that is to be made now. What this version does not know how to act
/// on is parked for one that does, not dropped.
fn only_paid(snapshot: &OrderSnapshot, overdue: bool) -> Result<(), Skipped> {
    if snapshot.cancel_state() == CancelState::Requested {
        return Err(Skipped::DeadLetter("this version cannot cancel".into()));
    }
    match OrderState::try_from(snapshot.state) {
        Ok(OrderState::Paid) => Ok(()),
        // Who asks after it did not hear the rest, or we have lost the book.
        Ok(OrderState::Preparing) if overdue => Ok(()),
        // Before it is paid there is nothing to do, and after it these only echo what
        // the barista has said.
        Ok(
            OrderState::AwaitingPayment
            | OrderState::Declined
            | OrderState::Preparing
            | OrderState::Ready
            | OrderState::Collected,
        ) => Err(Skipped::NotOurs),
        Ok(state @ (OrderState::Unspecified | OrderState::Cancelled | OrderState::Failed)) => {
            let reason = format!("an order that is {} is not handled", state.as_str_name());
            Err(Skipped::DeadLetter(reason))
        }
        Err(_) => {
            let reason = format!("unknown order state {}", snapshot.state);
            Err(Skipped::DeadLetter(reason))
        }
    }
}

/// The decisions of one transaction.
struct Batch {
    /// The last revision applied of each order that has a ticket.
    known: HashMap<Uuid, i64>,
    recipes: HashMap<(String, String), Recipe>,
    new: Vec<NewTicket>,
    raised: BTreeMap<Uuid, i64>,
    /// Orders with a ticket after which reception asks.
    asked: BTreeSet<Uuid>,
}

impl Batch {
    fn new(known: Vec<(Uuid, i64)>, recipes: Vec<Recipe>) -> Self {
        Self {
            known: known.into_iter().collect(),
            recipes: recipes
                .into_iter()
                .map(|recipe| ((recipe.drink.clone(), recipe.size.clone()), recipe))
                .collect(),
            new: Vec::new(),
            raised: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    fn decide(&mut self, heard: &Heard) -> Outcome {
        let Some(last) = self.known.get_mut(&heard.order_id) else {
            return self.queue(heard);
        };
        let newer = heard.revision > *last;
        if newer {
            *last = heard.revision;
            self.raised.insert(heard.order_id, heard.revision);
        }
        match (heard.overdue, newer) {
            // Also if its revision is known: that is what is asked about.
            (true, _) => {
                self.asked.insert(heard.order_id);
                Outcome::Done
            }
            // Its ticket is there already.
            (false, true) => Outcome::Absorbed(Absorbed::NotOurs),
            (false, false) => Outcome::Absorbed(Absorbed::Stale),
        }
    }

    fn queue(&mut self, heard: &Heard) -> Outcome {
        let drinks = match self.drinks(heard) {
            Ok(drinks) => drinks,
            Err(reason) => return Outcome::DeadLetter(reason),
        };
        let Ok(total) = i32::try_from(drinks.len()) else {
            return Outcome::DeadLetter(format!("{} drinks are too many", drinks.len()));
        };
        self.known.insert(heard.order_id, heard.revision);
        self.new.push(NewTicket {
            ticket: Ticket::queued(heard.order_id, total, heard.trace.clone()),
            order_revision: heard.revision,
            drinks,
        });
        Outcome::Done
    }

    /// One drink per unit.
    fn drinks(&self, heard: &Heard) -> Result<Vec<NewDrink>, String> {
        if !(1..=LIMIT).contains(&heard.items.len()) {
            return Err(format!(
                "{} lines; 1 to {LIMIT} can be made",
                heard.items.len()
            ));
        }
        let mut drinks = Vec::new();
        for (line, item) in (0..).zip(&heard.items) {
            let OrderedDrink {
                drink,
                size,
                quantity,
            } = item;
            if !usize::try_from(*quantity).is_ok_and(|units| (1..=LIMIT).contains(&units)) {
                return Err(format!("{quantity} units; 1 to {LIMIT} can be made"));
            }
            let recipe = self
                .recipes
                .get(&(drink.clone(), size.clone()))
                .ok_or_else(|| format!("no recipe for {drink:?} in {size:?}"))?;
            drinks.extend((0..*quantity).map(|unit| NewDrink {
                order_id: heard.order_id,
                line,
                unit,
                recipe: recipe.clone(),
            }));
        }
        Ok(drinks)
    }
}

#[cfg(test)]
mod tests;
