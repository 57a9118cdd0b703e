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
mod tests {
    use super::*;

    fn ticket(state: State, drinks_made: i32) -> Ticket {
        Ticket {
            state,
            drinks_made,
            revision: 7,
            ..Ticket::queued(Uuid::nil(), 2, TraceContext::default())
        }
    }

    /// The ticket before, the event, and what is expected: the state after, `=`
    /// (absorbed) or `!` (refused), and the drinks made after.
    const TABLE: &[(State, i32, Event, &str, i32)] = &[
        (State::Queued, 0, Event::DrinkTaken, "STARTED", 0),
        (State::Queued, 0, Event::DrinkBooked, "!", 0),
        (State::Started, 0, Event::DrinkTaken, "=", 0),
        (State::Started, 0, Event::DrinkBooked, "=", 1),
        (State::Started, 1, Event::DrinkTaken, "=", 1),
        (State::Started, 1, Event::DrinkBooked, "READY", 2),
        (State::Ready, 2, Event::DrinkTaken, "!", 2),
        (State::Ready, 2, Event::DrinkBooked, "!", 2),
        (State::Queued, 0, GIVEN_UP, "FAILED", 0),
        (State::Started, 1, GIVEN_UP, "FAILED", 1),
        (State::Ready, 2, GIVEN_UP, "=", 2),
        (State::Failed, 1, GIVEN_UP, "=", 1),
        (State::Failed, 1, Event::DrinkTaken, "=", 1),
        (State::Failed, 1, Event::DrinkBooked, "=", 1),
        (State::Queued, 0, Event::CancelRequested, "CANCELLED", 0),
        (State::Started, 0, Event::CancelRequested, "STARTED", 0),
        (State::Ready, 2, Event::CancelRequested, "READY", 2),
        (State::Failed, 1, Event::CancelRequested, "=", 1),
        (State::Queued, 0, Event::OrderCancelled, "CANCELLED", 0),
        (State::Started, 1, Event::OrderCancelled, "CANCELLED", 1),
        (State::Ready, 2, Event::OrderCancelled, "=", 2),
        (State::Failed, 1, Event::OrderCancelled, "=", 1),
        (State::Cancelled, 0, Event::CancelRequested, "=", 0),
        (State::Cancelled, 0, Event::OrderCancelled, "=", 0),
        (State::Cancelled, 0, GIVEN_UP, "=", 0),
        (State::Cancelled, 0, Event::DrinkTaken, "=", 0),
        (State::Cancelled, 0, Event::DrinkBooked, "=", 0),
    ];

    const GIVEN_UP: Event = Event::CannotBeMade {
        reason: String::new(),
    };

    #[test]
    fn every_state_meets_every_event_as_the_table_says() {
        for (state, made, event, expected, made_after) in TABLE {
            let (state, made, made_after) = (*state, *made, *made_after);
            let before = ticket(state, made);
            let (found, after) = match before.clone().apply(event.clone()) {
                Transition::Applied(after) => {
                    assert_eq!(after.revision, 8, "{state:?} {event:?}");
                    (after.state.as_str(), after)
                }
                Transition::Absorbed(after, _) => {
                    assert_eq!(
                        (after.state, after.revision),
                        (state, 7),
                        "{state:?} {event:?}"
                    );
                    ("=", after)
                }
                Transition::Refused(_) => ("!", before),
            };
            assert_eq!(
                (found, after.drinks_made),
                (*expected, made_after),
                "{state:?} {event:?} with {made} made"
            );
        }
    }

    #[test]
    fn a_ticket_is_told_of_three_times_however_many_drinks_it_has() {
        let drinks = 5;
        let mut ticket = Ticket::queued(Uuid::nil(), drinks, TraceContext::default());
        let mut told = vec![ticket.state];
        let taken = (0..drinks).map(|_| Event::DrinkTaken);
        let booked = (0..drinks).map(|_| Event::DrinkBooked);
        for event in taken.chain(booked) {
            ticket = match ticket.apply(event) {
                Transition::Applied(ticket) => {
                    told.push(ticket.state);
                    ticket
                }
                Transition::Absorbed(ticket, _) => ticket,
                Transition::Refused(illegal) => panic!("{illegal}"),
            };
        }
        assert_eq!(told, [State::Queued, State::Started, State::Ready]);
        assert_eq!((ticket.revision, ticket.drinks_made), (3, drinks));
    }

    #[test]
    fn that_it_is_too_late_to_cancel_is_said_once_and_stays_said() {
        for state in [State::Started, State::Ready] {
            let Transition::Applied(refused) = ticket(state, 1).apply(Event::CancelRequested)
            else {
                panic!("{state:?}: it was not asked before");
            };
            assert!(refused.cancel_refused && refused.state == state);
            let again = refused.clone().apply(Event::CancelRequested);
            assert_eq!(again, Transition::Absorbed(refused, Why::AlreadyRefused));
        }
        let Transition::Applied(refused) = ticket(State::Started, 1).apply(Event::CancelRequested)
        else {
            panic!("it was not asked before");
        };
        let Transition::Applied(made) = refused.apply(Event::DrinkBooked) else {
            panic!("it was the last drink");
        };
        assert!(made.cancel_refused && made.state == State::Ready);
    }

    #[test]
    fn states_are_stored_under_names_that_are_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().ok(), Some(state));
        }
        assert!("BREWED".parse::<State>().is_err());
    }
}
