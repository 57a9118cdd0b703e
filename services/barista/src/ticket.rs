//! The ticket, and what may happen to it. Pure: no clock, no database, no wire.
//!
//! Everything that changes a ticket goes through `Ticket::apply`, one `match` over
//! state and event. A revision is a change that others are told about; a drink that is
//! not the last one only moves the count. What is refused contradicts what was decided,
//! and is somebody's bug.

use std::str::FromStr;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

/// The making of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The order; also the ticket's id.
    pub order_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Raised by one with every change that is told.
    pub revision: i64,
    /// Drinks to be made in all.
    pub drinks_total: i32,
    /// Drinks booked so far.
    pub drinks_made: i32,
    /// Why it cannot be made; of a FAILED ticket only.
    pub fail_reason: Option<String>,
    /// Whether a wish to cancel came too late. Once true, it stays so.
    pub cancel_refused: bool,
    /// The order's trace.
    pub trace: TraceContext,
}

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has begun.
    Queued,
    /// The first drink has been begun.
    Started,
    /// Every drink is booked.
    Ready,
    /// It is not wanted any more.
    Cancelled,
    /// It cannot be made.
    Failed,
}

/// What can happen to a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A barista took one of its drinks.
    DrinkTaken,
    /// One of its drinks was booked as made.
    DrinkBooked,
    /// The customer wants to cancel: whether it is too late is decided here.
    CancelRequested,
    /// Reception has cancelled the order, whatever was begun of it.
    OrderCancelled,
    /// The order will not be made.
    CannotBeMade {
        /// Why, for people.
        reason: String,
    },
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It made a new revision.
    Applied(Ticket),
    /// It made none, as it should.
    Absorbed(Ticket, Why),
    /// It contradicts what was decided.
    Refused(IllegalTransition),
}

/// Why an event made no new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another drink was taken before.
    AlreadyStarted,
    /// The drink is counted, and was not the last.
    DrinksLeft,
    /// Every drink is made: too late to give up.
    AlreadyMade,
    /// That it is too late to cancel was said before.
    AlreadyRefused,
    /// It is cancelled or has failed: whatever is still made of it is wasted.
    AlreadyOver,
}

/// An event that contradicts what was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ticket {order_id} is {state}: {event:?} contradicts that", state = .state.as_str())]
pub struct IllegalTransition {
    /// The order.
    pub order_id: Uuid,
    /// Where its ticket stands.
    pub state: State,
    /// What was reported.
    pub event: Event,
}

impl Ticket {
    /// A paid order's ticket.
    pub fn queued(order_id: Uuid, drinks_total: i32, trace: TraceContext) -> Self {
        Self {
            order_id,
            state: State::Queued,
            revision: 1,
            drinks_total,
            drinks_made: 0,
            fail_reason: None,
            cancel_refused: false,
            trace,
        }
    }

    /// A ticket of an order that was cancelled before it had one: a tombstone. A PAID that
    /// comes later meets it.
    pub fn cancelled(order_id: Uuid, trace: TraceContext) -> Self {
        Self {
            state: State::Cancelled,
            ..Self::queued(order_id, 0, trace)
        }
    }

    /// The same of an order that cannot be made.
    pub fn failed(order_id: Uuid, reason: String, trace: TraceContext) -> Self {
        Self {
            state: State::Failed,
            fail_reason: Some(reason),
            ..Self::queued(order_id, 0, trace)
        }
    }

    /// Lets an event happen. Nothing moves a ticket backwards.
    pub fn apply(self, event: Event) -> Transition {
        match (self.state, event) {
            (State::Queued, Event::DrinkTaken) => Transition::Applied(self.moved(State::Started)),
            // Of another drink, or of one whose lease ran out.
            (State::Started, Event::DrinkTaken) => Transition::Absorbed(self, Why::AlreadyStarted),
            (State::Started, Event::DrinkBooked) => self.count_drink(),
            (State::Queued | State::Started, Event::CannotBeMade { reason }) => {
                Transition::Applied(Self {
                    fail_reason: Some(reason),
                    ..self.moved(State::Failed)
                })
            }
            (State::Queued, Event::CancelRequested)
            | (State::Queued | State::Started, Event::OrderCancelled) => {
                Transition::Applied(self.moved(State::Cancelled))
            }
            (State::Started | State::Ready, Event::CancelRequested) => self.refuse_to_cancel(),
            (State::Ready, Event::CannotBeMade { .. } | Event::OrderCancelled) => {
                Transition::Absorbed(self, Why::AlreadyMade)
            }
            (State::Cancelled | State::Failed, _) => Transition::Absorbed(self, Why::AlreadyOver),
            // What is booked was taken before, and nothing is left to take or to book
            // after the last drink.
            (State::Queued, event @ Event::DrinkBooked)
            | (State::Ready, event @ (Event::DrinkTaken | Event::DrinkBooked)) => {
                let (order_id, state) = (self.order_id, self.state);
                Transition::Refused(IllegalTransition {
                    order_id,
                    state,
                    event,
                })
            }
        }
    }

    fn count_drink(mut self) -> Transition {
        self.drinks_made += 1;
        if self.drinks_made < self.drinks_total {
            Transition::Absorbed(self, Why::DrinksLeft)
        } else {
            Transition::Applied(self.moved(State::Ready))
        }
    }

    /// Somebody has begun, and the coffee is paid for.
    fn refuse_to_cancel(self) -> Transition {
        if self.cancel_refused {
            return Transition::Absorbed(self, Why::AlreadyRefused);
        }
        let state = self.state;
        Transition::Applied(Self {
            cancel_refused: true,
            ..self.moved(state)
        })
    }

    fn moved(self, state: State) -> Self {
        let revision = self.revision + 1;
        Self {
            state,
            revision,
            ..self
        }
    }
}

impl State {
    /// All of them.
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Started,
        Self::Ready,
        Self::Cancelled,
        Self::Failed,
    ];

    /// Whether it was given up: nothing of it is to be made any more.
    pub fn is_given_up(self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed)
    }

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Started => "STARTED",
            Self::Ready => "READY",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }
}

/// A stored state that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown ticket state {0:?}")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
