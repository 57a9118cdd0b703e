//! What is read, message by message.

use super::*;
use messaging::inbox::Origin;
use proto::barista::v1::TicketSnapshot;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

const ORDER: Uuid = Uuid::from_u128(1);

fn message(event: &TicketEvent) -> Message {
    Message {
        event_id: Uuid::now_v7(),
        event_type: "coffeeshop.barista.v1.TicketSomething".into(),
        order_id: ORDER,
        payload: event.encode_to_vec().into(),
        trace: TraceContext::default(),
        origin: Origin {
            topic: "tickets.v1".into(),
            partition: 0,
            offset: 0,
            time_ms: 0,
        },
    }
}

/// An event as the barista writes it, without a case: the snapshot has to do.
fn event(state: TicketState) -> TicketEvent {
    TicketEvent {
        order_id: ORDER.to_string(),
        revision: 2,
        snapshot: Some(TicketSnapshot {
            state: state.into(),
            ..TicketSnapshot::default()
        }),
        ..TicketEvent::default()
    }
}

fn reason(event: &TicketEvent) -> String {
    match read(&message(event)) {
        Err(Skipped::DeadLetter(reason)) => reason,
        other => panic!("expected a dead letter, found {other:?}"),
    }
}

#[test]
fn the_snapshot_says_what_happened() {
    let what = |state| read(&message(&event(state))).map(|change| change.event);
    assert_eq!(what(TicketState::Queued), Err(Skipped::NotOurs));
    assert_eq!(
        what(TicketState::Started),
        Ok(Event::Started {
            cancel_refused: false
        })
    );
    assert_eq!(
        what(TicketState::Ready),
        Ok(Event::Made {
            cancel_refused: false
        })
    );
}

#[test]
fn what_is_not_understood_is_not_dropped() {
    let with = |change: fn(&mut TicketEvent)| {
        let mut event = event(TicketState::Ready);
        change(&mut event);
        reason(&event)
    };
    assert_eq!(with(|e| e.revision = 0), "revision 0 is not one");
    assert_eq!(with(|e| e.snapshot = None), "the snapshot is missing");
    assert_eq!(
        with(|e| e.order_id = "7".into()),
        "ce_subject and order_id (\"7\") differ"
    );
    assert_eq!(
        with(|e| e.snapshot.as_mut().expect("it has one").state = 99),
        "unknown ticket state 99"
    );
    assert_eq!(
        reason(&event(TicketState::Unspecified)),
        "a ticket that is TICKET_STATE_UNSPECIFIED is not handled"
    );
}

#[test]
fn garbage_is_a_dead_letter() {
    let mut message = message(&event(TicketState::Ready));
    message.payload = (&[0xff; 8][..]).into();
    assert!(matches!(read(&message), Err(Skipped::DeadLetter(reason))
        if reason.starts_with("not a TicketEvent")));
}
