//! What holds for any sequence of events: proptest looks for one for which it does not.

use super::{tests::order, *};
use proptest::{prelude::*, sample::select};

/// The states in the sequence of an order's life. One that is not listed ends it.
const LIFE: [State; 5] = [
    State::AwaitingPayment,
    State::Paid,
    State::Preparing,
    State::Ready,
    State::Collected,
];

fn rank(state: State) -> usize {
    LIFE.iter()
        .position(|known| *known == state)
        .unwrap_or(LIFE.len())
}

fn charged() -> Event {
    let payment_id = Uuid::nil();
    Event::Charged { payment_id }
}

fn declined() -> Event {
    let reason = "insufficient_funds".to_owned();
    Event::Declined { reason }
}

fn given_up() -> Event {
    let reason = "no recipe".to_owned();
    Event::CannotBeMade { reason }
}

fn asked() -> Event {
    let reason = "too slow".to_owned();
    Event::CancelRequested { reason }
}

fn refunded() -> Event {
    let payment_id = Uuid::nil();
    Event::Refunded { payment_id }
}

const STARTED: Event = Event::Started {
    cancel_refused: false,
};
const TOO_LATE: Event = Event::Started {
    cancel_refused: true,
};
const MADE: Event = Event::Made {
    cancel_refused: false,
};
const MADE_TOO_LATE: Event = Event::Made {
    cancel_refused: true,
};

/// Everything that can be reported.
fn events() -> Vec<Event> {
    vec![
        charged(),
        declined(),
        Event::PaymentCancelled,
        refunded(),
        Event::WindowOver,
        asked(),
        STARTED,
        MADE,
        TOO_LATE,
        MADE_TOO_LATE,
        Event::CancelAccepted,
        given_up(),
        Event::Collected,
    ]
}

/// What may really happen to an order, each in the sequence in which it happens.
fn stories() -> Vec<Vec<Event>> {
    vec![
        vec![declined()],
        vec![charged()],
        vec![charged(), STARTED],
        vec![charged(), MADE],
        vec![charged(), STARTED, MADE],
        vec![charged(), STARTED, MADE, Event::Collected],
        vec![charged(), given_up()],
        vec![charged(), STARTED, given_up()],
        vec![charged(), asked(), Event::CancelAccepted],
    ]
}

/// A story, and the same with repeats in any order.
fn retold() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    select(stories()).prop_flat_map(|story| {
        let repeats = prop::collection::vec(select(story.clone()), 0..8);
        let told = repeats.prop_map({
            let story = story.clone();
            move |repeats| [story.clone(), repeats].concat()
        });
        (Just(story), told.prop_shuffle())
    })
}

/// No coffee without a charge, and no charge kept without coffee: it is given back, or owed,
/// or it is owed to find out.
fn keeps_the_promise(order: &Order) -> bool {
    let charged = matches!(order.payment, Payment::Charged { .. });
    match order.state {
        State::AwaitingPayment => order.payment == Payment::Pending,
        State::Paid | State::Preparing | State::Ready | State::Collected => {
            charged && order.refund == Refund::NotNeeded
        }
        State::Declined => !charged && order.refund == Refund::NotNeeded,
        State::Cancelled | State::Failed => match order.refund {
            Refund::Pending => charged || order.payment == Payment::Pending,
            Refund::Done => charged,
            Refund::NotNeeded => !charged && order.payment != Payment::Pending,
        },
    }
}

/// Lets each event happen. What is refused changes nothing.
fn tell(order: Order, events: &[Event]) -> Order {
    events.iter().fold(order, |before, event| {
        match before.clone().apply(event.clone(), DateTime::UNIX_EPOCH) {
            Transition::Applied(after) | Transition::Absorbed(after, _) => after,
            Transition::Refused(_) => before,
        }
    })
}

proptest! {
    #[test]
    fn an_event_moves_an_order_on_by_one_revision_or_not_at_all(
        events in prop::collection::vec(select(events()), 0..20),
    ) {
        let mut before = order(State::AwaitingPayment);
        for event in events {
            match before.clone().apply(event.clone(), DateTime::UNIX_EPOCH) {
                Transition::Applied(after) => {
                    prop_assert!(rank(after.state) >= rank(before.state), "{:?} {:?}", before.state, event);
                    prop_assert!(!before.state.is_over() || after.state == before.state);
                    prop_assert!(keeps_the_promise(&after), "{:?}", after);
                    prop_assert_eq!(after.revision, before.revision + 1);
                    let told = after.history.last().map(|entry| (entry.state, entry.revision));
                    prop_assert_eq!(told, Some((after.state, after.revision)));
                    prop_assert_eq!(after.history.len(), before.history.len() + 1);
                    before = after;
                }
                Transition::Absorbed(after, _) => prop_assert_eq!(&after, &before),
                Transition::Refused(illegal) => {
                    let (order_id, state) = (before.order_id, before.state);
                    prop_assert_eq!(illegal, IllegalTransition { order_id, state, event });
                }
            }
        }
    }

    /// What is refused comes again: until then, the order waits for what should have come before.
    #[test]
    fn what_happened_ends_in_one_state_however_it_is_told((story, told) in retold()) {
        let expected = tell(order(State::AwaitingPayment), &story).state;
        let rounds = vec![told; story.len()].concat();
        let found = tell(order(State::AwaitingPayment), &rounds);
        prop_assert_eq!(found.state, expected);
    }
}
