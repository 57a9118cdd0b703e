//! The rule of every consumer: an event applies if its revision is greater than the last one applied.
//! Any part of a ticket's events, in any order and with repeats, then ends where its last one says.

use super::*;
use crate::order::{State, tests::order};
use proptest::{prelude::*, sample::select};

/// What a ticket says to its order: the revision, what it means, and where it leads.
fn tickets() -> Vec<(i64, Event, State)> {
    vec![
        (
            2,
            Event::Started {
                cancel_refused: false,
            },
            State::Preparing,
        ),
        (
            3,
            Event::Made {
                cancel_refused: false,
            },
            State::Ready,
        ),
    ]
}

proptest! {
    #[test]
    fn the_highest_revision_heard_decides(
        heard in prop::collection::vec(select(tickets()), 1..20),
    ) {
        let mut locked = Locked { order: order(State::Paid), ticket_revision: 0 };
        for (revision, event, _) in &heard {
            let before = locked.clone();
            let change = Change {
                order_id: locked.order.order_id,
                event: event.clone(),
                ticket_revision: Some(*revision),
                trace: TraceContext::default(),
            };
            let applied = matches!(fold(&mut locked, &change), Changed::Applied(_));
            prop_assert_eq!(applied, *revision > before.ticket_revision);
            prop_assert_eq!(locked.order.revision, before.order.revision + i64::from(applied));
        }
        let last = heard.into_iter().max_by_key(|(revision, ..)| *revision);
        let found = (locked.ticket_revision, locked.order.state);
        prop_assert_eq!(last.map(|(revision, _, state)| (revision, state)), Some(found));
    }
}

#[test]
fn a_ticket_that_is_over_is_heard_whatever_its_revision() {
    let reason = "the book was lost".to_owned();
    let cancel_refused = false;
    for (event, state) in [
        (Event::CannotBeMade { reason }, State::Failed),
        (Event::CancelAccepted, State::Cancelled),
        (Event::Made { cancel_refused }, State::Ready),
    ] {
        let mut locked = Locked {
            order: order(State::Preparing),
            ticket_revision: 3,
        };
        let change = Change {
            order_id: locked.order.order_id,
            event,
            ticket_revision: Some(1),
            trace: TraceContext::default(),
        };
        assert!(matches!(fold(&mut locked, &change), Changed::Applied(_)));
        assert_eq!((locked.order.state, locked.ticket_revision), (state, 3));
    }
}
