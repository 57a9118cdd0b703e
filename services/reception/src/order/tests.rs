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
        payment: match state {
            State::AwaitingPayment | State::Cancelled => Payment::Pending,
            State::Declined => Payment::Declined {
                reason: String::new(),
            },
            _ => PAID,
        },
        refund: Refund::NotNeeded,
        cancel: Cancel::NotRequested,
        create_time: now,
        update_time: now,
        ready_time: None,
        history: Vec::new(),
    }
}

const ID: Uuid = Uuid::nil();

fn events() -> [Event; 13] {
    let reason = String::new;
    [
        Event::Charged { payment_id: ID },
        Event::Declined { reason: reason() },
        Event::PaymentCancelled,
        Event::Refunded { payment_id: ID },
        Event::WindowOver,
        Event::CancelRequested { reason: reason() },
        Event::Started {
            cancel_refused: false,
        },
        Event::Made {
            cancel_refused: false,
        },
        Event::Started {
            cancel_refused: true,
        },
        Event::Made {
            cancel_refused: true,
        },
        Event::CancelAccepted,
        Event::CannotBeMade { reason: reason() },
        Event::Collected,
    ]
}

/// What is expected of a state and an event: the next state (the same one: something
/// beside it changed), `=` (absorbed), or `!` (refused).
#[rustfmt::skip]
const TABLE: &[(State, [&str; 13])] = &[
    // Charged, Declined, PaymentCancelled, Refunded, WindowOver, CancelRequested,
    //     Started, Made, both with the cancellation refused, CancelAccepted, CannotBeMade, Collected
    (State::AwaitingPayment, ["PAID", "DECLINED", "CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED",
        "!", "!", "!", "!", "!", "!", "!"]),
    (State::Paid, ["=", "!", "!", "!", "=", "PAID",
        "PREPARING", "READY", "PREPARING", "READY", "CANCELLED", "FAILED", "!"]),
    (State::Preparing, ["=", "!", "!", "!", "=", "PREPARING",
        "=", "READY", "PREPARING", "READY", "CANCELLED", "FAILED", "!"]),
    (State::Ready, ["=", "!", "!", "!", "=", "!",
        "=", "=", "READY", "READY", "!", "!", "COLLECTED"]),
    (State::Collected, ["=", "!", "!", "!", "=", "!",
        "=", "=", "COLLECTED", "COLLECTED", "!", "!", "="]),
    (State::Declined, ["!", "=", "!", "!", "=", "!",
        "!", "!", "!", "!", "!", "!", "!"]),
    (State::Cancelled, ["=", "=", "=", "=", "=", "=",
        "=", "=", "=", "=", "=", "=", "!"]),
    (State::Failed, ["=", "=", "=", "=", "=", "!",
        "=", "=", "=", "=", "=", "=", "!"]),
];

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    assert_eq!(TABLE.len(), State::ALL.len());
    for (state, expected) in TABLE {
        for (event, expected) in events().iter().zip(expected) {
            let found = match order(*state).apply(event.clone(), Utc::now()) {
                Transition::Applied(after) => {
                    assert_eq!(after.revision, 8, "{state:?} {event:?}");
                    assert_eq!(after.history.len(), 1, "{state:?} {event:?}");
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

/// What an order owes and knows after events.
fn after(state: State, events: &[Event]) -> (State, Payment, Refund, Cancel) {
    let end = events.iter().fold(order(state), |before, event| {
        match before.apply(event.clone(), Utc::now()) {
            Transition::Applied(after) | Transition::Absorbed(after, _) => after,
            Transition::Refused(illegal) => panic!("{illegal}"),
        }
    });
    (end.state, end.payment, end.refund, end.cancel)
}

const CHARGED: Event = Event::Charged { payment_id: ID };
const REFUNDED: Event = Event::Refunded { payment_id: ID };
const ASKED: Event = Event::CancelRequested {
    reason: String::new(),
};
const GIVEN_UP: Event = Event::CannotBeMade {
    reason: String::new(),
};
const IN_TIME: Event = Event::CancelAccepted;
const TOO_LATE: Event = Event::Started {
    cancel_refused: true,
};
const MADE: Event = Event::Made {
    cancel_refused: false,
};
const PAID: Payment = Payment::Charged { payment_id: ID };

/// Stories from AWAITING_PAYMENT on, and what becomes of the money and of the wish.
#[rustfmt::skip]
const STORIES: &[(&[Event], State, Payment, Refund, Cancel)] = &[
    // Unpaid: closing the key is owed until the provider has answered.
    (&[ASKED], State::Cancelled, Payment::Pending, Refund::Pending, Cancel::Accepted),
    (&[Event::WindowOver], State::Cancelled, Payment::Pending, Refund::Pending, Cancel::NotRequested),
    (&[ASKED, CHARGED], State::Cancelled, Payment::Pending, Refund::Pending, Cancel::Accepted),
    (&[ASKED, CHARGED, REFUNDED], State::Cancelled, PAID, Refund::Done, Cancel::Accepted),
    (&[ASKED, Event::PaymentCancelled], State::Cancelled, Payment::Cancelled, Refund::NotNeeded, Cancel::Accepted),
    (&[Event::WindowOver, REFUNDED, REFUNDED], State::Cancelled, PAID, Refund::Done, Cancel::NotRequested),
    // Somebody else has closed it.
    (&[Event::PaymentCancelled], State::Cancelled, Payment::Cancelled, Refund::NotNeeded, Cancel::NotRequested),
    (&[REFUNDED], State::Cancelled, PAID, Refund::Done, Cancel::NotRequested),
    // Paid: the barista decides.
    (&[CHARGED, ASKED, ASKED], State::Paid, PAID, Refund::NotNeeded, Cancel::Requested),
    (&[CHARGED, ASKED, IN_TIME], State::Cancelled, PAID, Refund::Pending, Cancel::Accepted),
    (&[CHARGED, ASKED, IN_TIME, REFUNDED], State::Cancelled, PAID, Refund::Done, Cancel::Accepted),
    (&[CHARGED, ASKED, TOO_LATE], State::Preparing, PAID, Refund::NotNeeded, Cancel::Refused),
    (&[CHARGED, ASKED, TOO_LATE, ASKED], State::Preparing, PAID, Refund::NotNeeded, Cancel::Refused),
    (&[CHARGED, ASKED, MADE], State::Ready, PAID, Refund::NotNeeded, Cancel::Refused),
    (&[CHARGED, ASKED, GIVEN_UP], State::Failed, PAID, Refund::Pending, Cancel::Accepted),
    (&[CHARGED, GIVEN_UP, REFUNDED], State::Failed, PAID, Refund::Done, Cancel::NotRequested),
];

#[test]
fn whoever_paid_and_gets_no_coffee_is_owed_the_money_until_it_is_back() {
    for (events, state, payment, refund, cancel) in STORIES {
        let expected = (*state, payment.clone(), *refund, *cancel);
        assert_eq!(
            after(State::AwaitingPayment, events),
            expected,
            "{events:?}"
        );
    }
}

/// The payments of which a provider that decides once cannot say that it has charged them.
#[test]
fn a_charge_that_contradicts_what_the_provider_has_decided_is_refused_by_name() {
    let reason = String::new();
    let payment_id = Uuid::max();
    for (payment, states) in [
        (
            Payment::Declined { reason },
            &[State::Declined, State::Cancelled][..],
        ),
        (Payment::Cancelled, &[State::Cancelled, State::Failed]),
        (Payment::Charged { payment_id }, &State::ALL[1..]),
    ] {
        for state in states {
            let decided = Order {
                payment: payment.clone(),
                ..order(*state)
            };
            let charged = decided.apply(CHARGED, Utc::now());
            assert!(matches!(charged, Transition::Refused(_)), "{charged:?}");
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
    for cancel in Cancel::ALL {
        assert_eq!(cancel.as_str().parse::<Cancel>().ok(), Some(*cancel));
    }
}
