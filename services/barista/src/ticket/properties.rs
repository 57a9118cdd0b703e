//! What holds for any sequence of events: proptest looks for one for which it does not.

use super::*;
use proptest::{prelude::*, sample::select};

/// The states in the sequence of a ticket's life. One that is not listed ends it.
const LIFE: [State; 3] = [State::Queued, State::Started, State::Ready];

/// Everything that can be reported.
fn events() -> Vec<Event> {
    let reason = "no recipe".to_owned();
    let given_up = Event::CannotBeMade { reason };
    vec![
        Event::DrinkTaken,
        Event::DrinkBooked,
        Event::CancelRequested,
        Event::OrderCancelled,
        given_up,
    ]
}

fn rank(state: State) -> usize {
    LIFE.iter()
        .position(|known| *known == state)
        .unwrap_or(LIFE.len())
}

fn queued(drinks: i32) -> Ticket {
    Ticket::queued(Uuid::nil(), drinks, TraceContext::default())
}

/// How many drinks, and their events in any order: each is booked once, and taken once or more, for a
/// lease may run out.
fn made() -> impl Strategy<Value = (i32, Vec<Event>)> {
    (1..6_usize, 0..6_usize).prop_flat_map(|(drinks, taken_again)| {
        let taken = vec![Event::DrinkTaken; drinks + taken_again];
        let booked = vec![Event::DrinkBooked; drinks];
        let total = i32::try_from(drinks).expect("it is below 6");
        (Just(total), Just([taken, booked].concat()).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn an_event_moves_a_ticket_on_by_one_revision_or_not_at_all(
        drinks in 1..6,
        events in prop::collection::vec(select(events()), 0..20),
    ) {
        let mut before = queued(drinks);
        for event in events {
            match before.clone().apply(event.clone()) {
                Transition::Applied(after) => {
                    let refused = after.cancel_refused && !before.cancel_refused && after.state == before.state;
                    prop_assert!(refused || rank(after.state) > rank(before.state), "{:?} {:?}", before.state, event);
                    prop_assert!(after.cancel_refused || !before.cancel_refused);
                    prop_assert_eq!(after.revision, before.revision + 1);
                    prop_assert!(after.drinks_made >= before.drinks_made);
                    before = after;
                }
                Transition::Absorbed(after, _) => {
                    prop_assert_eq!((after.state, after.revision), (before.state, before.revision));
                    prop_assert!(after.drinks_made >= before.drinks_made);
                    before = after;
                }
                Transition::Refused(illegal) => {
                    let (order_id, state) = (before.order_id, before.state);
                    prop_assert_eq!(illegal, IllegalTransition { order_id, state, event });
                }
            }
            prop_assert!(before.drinks_made <= before.drinks_total);
            prop_assert_eq!(before.state == State::Ready, before.drinks_made == before.drinks_total);
        }
    }

    /// A booking before the first drink is taken is refused by name; it comes again.
    #[test]
    fn drinks_that_are_made_in_any_order_make_the_ticket_ready((drinks, events) in made()) {
        let (mut ticket, mut left) = (queued(drinks), events);
        for _ in 0..2 {
            let mut refused = Vec::new();
            for event in left {
                ticket = match ticket.clone().apply(event) {
                    Transition::Applied(after) | Transition::Absorbed(after, _) => after,
                    Transition::Refused(illegal) => {
                        refused.push(illegal.event);
                        ticket
                    }
                };
            }
            left = refused;
        }
        prop_assert_eq!((ticket.state, ticket.revision), (State::Ready, 3));
        prop_assert_eq!(ticket.drinks_made, drinks);
        // Nothing is left but takes that came when all was made.
        prop_assert!(left.iter().all(|event| *event == Event::DrinkTaken));
    }
}
