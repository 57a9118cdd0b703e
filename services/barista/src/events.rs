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
//!
//! A wish to cancel is decided by the ticket alone. One that overtakes its PAID finds no
//! ticket and leaves one that is CANCELLED, which PAID then meets.

use crate::{
    store::{self, NewDrink, NewTicket, Recipe},
    ticket::{self, Ticket},
};
use messaging::{
    inbox::{Absorbed, Handler, Message, Outcome, Skipped},
    outbox::Waker,
};
use planted::Bug;
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

    /// That an order waits for its money, or where the barista brought it, is for others.
    fn is_step(&self, event_type: &str) -> bool {
        !matches!(
            event_type,
            "coffeeshop.reception.v1.OrderPlaced"
                | "coffeeshop.reception.v1.OrderDeclined"
                | "coffeeshop.reception.v1.OrderPreparing"
                | "coffeeshop.reception.v1.OrderReady"
                | "coffeeshop.reception.v1.OrderCollected"
                | "coffeeshop.reception.v1.OrderRefunded"
                | "coffeeshop.reception.v1.OrderPaymentCancelled"
                | "coffeeshop.reception.v1.OrderCancelRefused"
        )
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
        let told = store::end(conn, batch.ends).await?;
        store::tell_again(conn, &(&batch.asked - &told)).await?;
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
    /// Whether the order is to be cancelled, or not to be made any more.
    pub fn wants_an_end(&self) -> bool {
        matches!(self.wish, Wish::End(_))
    }

    /// Whether the order is cancelled, or will be as soon as its ticket is.
    pub fn wants_to_cancel(&self) -> bool {
        let Wish::End(event) = &self.wish else {
            return false;
        };
        matches!(
            event,
            ticket::Event::CancelRequested | ticket::Event::OrderCancelled
        )
    }
}

/// What is to become of an order.
#[derive(Debug)]
enum Wish {
    /// It is paid: these are to be made.
    Make(Vec<OrderedDrink>),
    /// It is to be cancelled if it is not too late, or it is over without coffee: nothing
    /// of it is to be made any more.
    End(ticket::Event),
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
    let cancel = snapshot.cancel_state() == CancelState::Requested;
    match OrderState::try_from(snapshot.state) {
        Ok(OrderState::Paid | OrderState::Preparing) if cancel => {
            Ok(Wish::End(ticket::Event::CancelRequested))
        }
        Ok(OrderState::Paid) => Ok(Wish::Make(snapshot.items)),
        // Who asks after it did not hear the rest, or we have lost the book.
        Ok(OrderState::Preparing) if matches!(case, Some(Case::Overdue(_))) => {
            Ok(Wish::Make(snapshot.items))
        }
        // Mostly these echo the barista's own ticket. Reception gives an order up by itself
        // if it cannot tell the barista of it; and a barista that is restored from an old
        // copy has forgotten what it gave up.
        Ok(OrderState::Cancelled) => Ok(Wish::End(ticket::Event::OrderCancelled)),
        Ok(OrderState::Failed) => Ok(Wish::End(ticket::Event::CannotBeMade {
            reason: reason(case),
        })),
        // Before it is paid there is nothing to do, and after it these only echo what
        // the barista has said.
        Ok(
            OrderState::AwaitingPayment
            | OrderState::Declined
            | OrderState::Preparing
            | OrderState::Ready
            | OrderState::Collected,
        ) => Err(Skipped::NotOurs),
        Ok(state @ OrderState::Unspecified) => {
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
    /// What may end tickets; of several wishes the last.
    ends: BTreeMap<Uuid, ticket::Event>,
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
            ends: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    fn decide(&mut self, heard: &Heard) -> Outcome {
        let known = self.known.get(&heard.order_id).copied();
        let newer = known.is_none_or(|last| heard.revision > last);
        let newer = newer || planted::bug(Bug::NoRevision);
        if known.is_some() && newer {
            self.known.insert(heard.order_id, heard.revision);
            self.raised.insert(heard.order_id, heard.revision);
        }
        match &heard.wish {
            // Also if its revision is known: that is what is asked about.
            wish if heard.overdue && known.is_some() => {
                self.asked.insert(heard.order_id);
                if let Wish::End(event) = wish {
                    self.ends.insert(heard.order_id, event.clone());
                }
                Outcome::Done
            }
            _ if !newer => Outcome::Absorbed(Absorbed::Stale),
            Wish::End(event) => self.end(heard, event),
            Wish::Make(items) if known.is_none() || planted::bug(Bug::NoUnique) => {
                self.queue(heard, items)
            }
            // Its ticket is there already.
            Wish::Make(_) => Outcome::Absorbed(Absorbed::NotOurs),
        }
    }

    fn queue(&mut self, heard: &Heard, items: &[OrderedDrink]) -> Outcome {
        let units = match units(items) {
            Ok(units) => units,
            Err(reason) => return Outcome::DeadLetter(reason),
        };
        let (order_id, trace) = (heard.order_id, heard.trace.clone());
        match self.drinks(order_id, items) {
            Ok(drinks) => self.open(heard, Ticket::queued(order_id, units, trace), drinks),
            // That is an answer, and the customer's money goes back: no letter to park.
            Err(reason) => self.open(heard, Ticket::failed(order_id, reason, trace), Vec::new()),
        }
        Outcome::Done
    }

    /// Leaves a tombstone where there is no ticket: PAID may still be on its way.
    fn end(&mut self, heard: &Heard, event: &ticket::Event) -> Outcome {
        let (order_id, trace) = (heard.order_id, heard.trace.clone());
        if !self.known.contains_key(&order_id) {
            let tombstone = match event {
                ticket::Event::CannotBeMade { reason } => {
                    Ticket::failed(order_id, reason.clone(), trace)
                }
                _ => Ticket::cancelled(order_id, trace),
            };
            self.open(heard, tombstone, Vec::new());
        }
        self.ends.insert(order_id, event.clone());
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

    /// One drink per unit, or why one of them cannot be made.
    fn drinks(&self, order_id: Uuid, items: &[OrderedDrink]) -> Result<Vec<NewDrink>, String> {
        let mut drinks = Vec::new();
        for (line, item) in (0..).zip(items) {
            let (drink, size) = (&item.drink, &item.size);
            let recipe = self
                .recipes
                .get(&(drink.clone(), size.clone()))
                .ok_or_else(|| format!("no recipe for {drink:?} in {size:?}"))?;
            if !recipe.on_shift {
                return Err(store::nobody_can(drink, &recipe.skill));
            }
            drinks.extend((0..item.quantity).map(|unit| NewDrink {
                order_id,
                line,
                unit,
                recipe: recipe.clone(),
            }));
        }
        Ok(drinks)
    }
}

/// How many units are asked for in all, or what is asked for that no order may hold.
fn units(items: &[OrderedDrink]) -> Result<i32, String> {
    if !(1..=LIMIT).contains(&items.len()) {
        return Err(format!("{} lines; 1 to {LIMIT} can be made", items.len()));
    }
    for OrderedDrink { quantity, .. } in items {
        if !usize::try_from(*quantity).is_ok_and(|units| (1..=LIMIT).contains(&units)) {
            return Err(format!("{quantity} units; 1 to {LIMIT} can be made"));
        }
    }
    Ok(items.iter().map(|item| item.quantity).sum())
}

#[cfg(test)]
mod tests;
