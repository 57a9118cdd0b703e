//! What every event does in every state.

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
        let Transition::Applied(refused) = ticket(state, 1).apply(Event::CancelRequested) else {
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
