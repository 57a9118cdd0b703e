//! The whole table: every state against every event.

use super::*;

pub(crate) fn order(state: State) -> Order {
    let now = DateTime::UNIX_EPOCH;
    Order {
        order_id: OrderId(Uuid::nil()),
        customer_name: "Ada".into(),
        items: Vec::new(),
        currency_code: "EUR".into(),
        total_minor: 350,
        state,
        revision: 7,
        payment: Payment::Pending,
        refund: Refund::NotNeeded,
        create_time: now,
        update_time: now,
        ready_time: None,
        history: Vec::new(),
    }
}

/// What is expected of a state and an event: the next state, or `=` (absorbed), or
/// `!` (refused).
const TABLE: &[(State, [&str; 5])] = &[
    // Charged, Declined, Started, Made, CannotBeMade
    (State::AwaitingPayment, ["PAID", "DECLINED", "!", "!", "!"]),
    (State::Paid, ["=", "!", "PREPARING", "READY", "FAILED"]),
    (State::Preparing, ["=", "!", "=", "READY", "FAILED"]),
    (State::Ready, ["=", "!", "=", "=", "!"]),
    (State::Collected, ["=", "!", "=", "=", "!"]),
    (State::Declined, ["!", "=", "!", "!", "!"]),
    (State::Cancelled, ["=", "=", "=", "=", "="]),
    (State::Failed, ["=", "=", "=", "=", "="]),
];

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    let events = [
        Event::Charged {
            payment_id: Uuid::nil(),
        },
        Event::Declined {
            reason: "insufficient_funds".into(),
        },
        Event::Started,
        Event::Made,
        Event::CannotBeMade {
            reason: "no milk".into(),
        },
    ];
    assert_eq!(TABLE.len(), State::ALL.len());
    for (state, expected) in TABLE {
        for (event, expected) in events.iter().zip(expected) {
            let found = match order(*state).apply(event.clone(), Utc::now()) {
                Transition::Applied(after) => {
                    assert_eq!(after.revision, 8, "{state:?} {event:?}");
                    assert_eq!(after.history.len(), 1, "{state:?} {event:?}");
                    let owed = after.refund == Refund::Pending;
                    assert_eq!(owed, after.state == State::Failed, "{state:?} {event:?}");
                    after.state.as_str()
                }
                Transition::Absorbed(after, _) => {
                    assert_eq!(after, order(*state), "absorbed changes nothing");
                    "="
                }
                Transition::Refused(_) => "!",
            };
            assert_eq!(found, *expected, "{state:?} {event:?}");
        }
    }
}

#[test]
fn states_are_stored_under_names_that_are_read_back() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse::<State>().ok(), Some(*state));
    }
    assert!("BREWED".parse::<State>().is_err());
    for refund in Refund::ALL {
        assert_eq!(refund.as_str().parse::<Refund>().ok(), Some(*refund));
    }
}
