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
#[derive(Clone)]
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
        store::fail(conn, &batch.failed).await?;
        store::tell_again(conn, &batch.asked).await?;
        Ok(outcomes)
    }

    fn committed(&self) {
        self.relay.wake();
        self.workforce.notify_one();
    }
}

/// What an event says, as far as a barista cares.
#[derive(Debug)]
pub struct Heard {
    order_id: Uuid,
    /// Of the order.
    pub revision: i64,
    /// Whether reception asks where the ticket stands.
    overdue: bool,
    wish: Wish,
    trace: TraceContext,
}

impl Heard {
    /// Whether nothing of the order is to be made any more.
    pub fn gives_up(&self) -> bool {
        matches!(self.wish, Wish::GiveUp(_))
    }
}

/// What is to become of an order.
#[derive(Debug)]
enum Wish {
    /// It is paid: these are to be made.
    Make(Vec<OrderedDrink>),
    /// It has failed: nothing of it is to be made any more.
    GiveUp(String),
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
    Ok(Heard {
        order_id: message.order_id,
        revision: event.revision,
        overdue,
        wish: wish(snapshot, event.event)?,
        trace: message.trace.clone(),
    })
}

/// Lets an order pass that is to be made now, or not any more. What this version does not
/// know how to act on is parked for one that does, not dropped.
fn wish(snapshot: OrderSnapshot, case: Option<Case>) -> Result<Wish, Skipped> {
    if snapshot.cancel_state() == CancelState::Requested {
        return Err(Skipped::DeadLetter("this version cannot cancel".into()));
    }
    match OrderState::try_from(snapshot.state) {
        Ok(OrderState::Paid) => Ok(Wish::Make(snapshot.items)),
        // Who asks after it did not hear the rest, or we have lost the book.
        Ok(OrderState::Preparing) if matches!(case, Some(Case::Overdue(_))) => {
            Ok(Wish::Make(snapshot.items))
        }
        // Mostly it echoes the barista's own ticket; reception gives an order up by itself
        // if it cannot tell the barista of it.
        Ok(OrderState::Failed) => Ok(Wish::GiveUp(reason(case))),
        // Before it is paid there is nothing to do, and after it these only echo what
        // the barista has said.
        Ok(
            OrderState::AwaitingPayment
            | OrderState::Declined
            | OrderState::Preparing
            | OrderState::Ready
            | OrderState::Collected,
        ) => Err(Skipped::NotOurs),
        Ok(state @ (OrderState::Unspecified | OrderState::Cancelled)) => {
            let reason = format!("an order that is {} is not handled", state.as_str_name());
            Err(Skipped::DeadLetter(reason))
        }
        Err(_) => {
            let reason = format!("unknown order state {}", snapshot.state);
            Err(Skipped::DeadLetter(reason))
        }
    }
}

/// Why an order failed. An event that was overtaken by another does not say.
fn reason(case: Option<Case>) -> String {
    match case {
        Some(Case::Failed(failed)) => failed.reason,
        _ => "reception has given it up".to_owned(),
    }
}

/// The decisions of one transaction.
struct Batch {
    /// The last revision applied of each order that has a ticket.
    known: HashMap<Uuid, i64>,
    recipes: HashMap<(String, String), Recipe>,
    new: Vec<NewTicket>,
    raised: BTreeMap<Uuid, i64>,
    /// Orders that are given up, and why.
    failed: BTreeMap<Uuid, String>,
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
            failed: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    fn decide(&mut self, heard: &Heard) -> Outcome {
        let known = self.known.get(&heard.order_id).copied();
        let newer = known.is_none_or(|last| heard.revision > last);
        if known.is_some() && newer {
            self.known.insert(heard.order_id, heard.revision);
            self.raised.insert(heard.order_id, heard.revision);
        }
        match &heard.wish {
            // Also if its revision is known: that is what is asked about.
            Wish::Make(_) if heard.overdue && known.is_some() => {
                self.asked.insert(heard.order_id);
                Outcome::Done
            }
            _ if !newer => Outcome::Absorbed(Absorbed::Stale),
            Wish::GiveUp(reason) => self.give_up(heard, reason),
            Wish::Make(items) if known.is_none() => self.queue(heard, items),
            // Its ticket is there already.
            Wish::Make(_) => Outcome::Absorbed(Absorbed::NotOurs),
        }
    }

    fn queue(&mut self, heard: &Heard, items: &[OrderedDrink]) -> Outcome {
        let drinks = match self.drinks(heard.order_id, items) {
            Ok(drinks) => drinks,
            Err(reason) => return Outcome::DeadLetter(reason),
        };
        let Ok(total) = i32::try_from(drinks.len()) else {
            return Outcome::DeadLetter(format!("{} drinks are too many", drinks.len()));
        };
        let ticket = Ticket::queued(heard.order_id, total, heard.trace.clone());
        self.open(heard, ticket, drinks);
        Outcome::Done
    }

    /// Leaves a tombstone where there is no ticket: PAID may still be on its way.
    fn give_up(&mut self, heard: &Heard, reason: &str) -> Outcome {
        if !self.known.contains_key(&heard.order_id) {
            let (reason, trace) = (reason.to_owned(), heard.trace.clone());
            let tombstone = Ticket::failed(heard.order_id, reason, trace);
            self.open(heard, tombstone, Vec::new());
        }
        self.failed.insert(heard.order_id, reason.to_owned());
        Outcome::Done
    }

    fn open(&mut self, heard: &Heard, ticket: Ticket, drinks: Vec<NewDrink>) {
        self.known.insert(heard.order_id, heard.revision);
        self.new.push(NewTicket {
            ticket,
            order_revision: heard.revision,
            drinks,
        });
    }

    /// One drink per unit.
    fn drinks(&self, order_id: Uuid, items: &[OrderedDrink]) -> Result<Vec<NewDrink>, String> {
        if !(1..=LIMIT).contains(&items.len()) {
            return Err(format!("{} lines; 1 to {LIMIT} can be made", items.len()));
        }
        let mut drinks = Vec::new();
        for (line, item) in (0..).zip(items) {
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
                order_id,
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
