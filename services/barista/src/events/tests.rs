//! Decisions, message by message.

use super::*;
use crate::ticket::State;
use messaging::inbox::Origin;
use proto::reception::v1::OrderFailed;

const ORDER: Uuid = Uuid::from_u128(1);

fn message(event: &OrderEvent) -> Message {
    Message {
        event_id: Uuid::now_v7(),
        event_type: "coffeeshop.reception.v1.OrderSomething".into(),
        order_id: ORDER,
        payload: event.encode_to_vec().into(),
        trace: TraceContext::default(),
        origin: Origin {
            topic: "orders.v1".into(),
            partition: 0,
            offset: 0,
            time_ms: 0,
        },
    }
}

fn item(drink: &str, quantity: i32) -> OrderedDrink {
    OrderedDrink {
        drink: drink.into(),
        size: "small".into(),
        quantity,
    }
}

/// An event as reception writes it, without a case: the snapshot has to do.
fn event(state: OrderState, revision: i64, items: Vec<OrderedDrink>) -> OrderEvent {
    OrderEvent {
        order_id: ORDER.to_string(),
        revision,
        occur_time: None,
        snapshot: Some(OrderSnapshot {
            state: state.into(),
            items,
            cancel_state: CancelState::NotRequested.into(),
        }),
        event: None,
    }
}

fn tea(state: OrderState, revision: i64) -> OrderEvent {
    event(state, revision, vec![item("tea", 2)])
}

fn batch(known: &[(Uuid, i64)]) -> Batch {
    let recipe = Recipe {
        drink: "tea".into(),
        size: "small".into(),
        skill: "tea".into(),
        brew_time_ms: 3000,
        on_shift: true,
    };
    let nobodys = Recipe {
        drink: "filter".into(),
        skill: "filter".into(),
        on_shift: false,
        ..recipe.clone()
    };
    Batch::new(known.to_vec(), vec![recipe, nobodys])
}

fn outcome(batch: &mut Batch, event: &OrderEvent) -> Outcome {
    match hear(&message(event)) {
        Ok(heard) => batch.decide(&heard),
        Err(Skipped::NotOurs) => Outcome::Absorbed(Absorbed::NotOurs),
        Err(Skipped::DeadLetter(reason)) => Outcome::DeadLetter(reason),
    }
}

/// A wish to cancel it.
fn cancel(state: OrderState, revision: i64) -> OrderEvent {
    let mut event = tea(state, revision);
    let snapshot = event.snapshot.as_mut().expect("it has one");
    snapshot.set_cancel_state(CancelState::Requested);
    event
}

fn only_ticket(batch: &Batch) -> &NewTicket {
    let [ticket] = &batch.new[..] else {
        panic!("one ticket was expected: {:?}", batch.new);
    };
    ticket
}

fn reason(event: &OrderEvent) -> String {
    match outcome(&mut batch(&[]), event) {
        Outcome::DeadLetter(reason) => reason,
        other => panic!("expected a dead letter, found {other:?}"),
    }
}

#[test]
fn a_paid_order_becomes_one_ticket_with_a_drink_per_unit() {
    let mut batch = batch(&[]);
    let paid = event(OrderState::Paid, 2, vec![item("tea", 2), item("tea", 1)]);
    assert_eq!(outcome(&mut batch, &paid), Outcome::Done);
    assert_eq!(
        outcome(&mut batch, &paid),
        Outcome::Absorbed(Absorbed::Stale)
    );
    let units: Vec<(i32, i32)> = batch.new[0]
        .drinks
        .iter()
        .map(|d| (d.line, d.unit))
        .collect();
    assert_eq!(units, [(0, 0), (0, 1), (1, 0)]);
    assert_eq!((batch.new.len(), batch.new[0].order_revision), (1, 2));
}

#[test]
fn paid_is_acted_on_though_later_revisions_came_first() {
    let mut batch = batch(&[]);
    for (state, revision) in [(OrderState::AwaitingPayment, 1), (OrderState::Preparing, 3)] {
        let outcome = outcome(&mut batch, &tea(state, revision));
        assert_eq!(outcome, Outcome::Absorbed(Absorbed::NotOurs));
    }
    assert_eq!(
        outcome(&mut batch, &tea(OrderState::Paid, 2)),
        Outcome::Done
    );
}

#[test]
fn a_ticket_takes_note_of_newer_revisions_only() {
    let mut batch = batch(&[(ORDER, 2)]);
    for (state, revision, expected) in [
        (OrderState::Paid, 2, Absorbed::Stale),
        (OrderState::Ready, 5, Absorbed::NotOurs),
        (OrderState::Paid, 4, Absorbed::NotOurs),
        (OrderState::Paid, 3, Absorbed::Stale),
    ] {
        let outcome = outcome(&mut batch, &tea(state, revision));
        assert_eq!(outcome, Outcome::Absorbed(expected), "{state:?}");
    }
    assert_eq!(batch.raised, BTreeMap::from([(ORDER, 4)]));
    assert!(batch.new.is_empty());
    assert!(batch.asked.is_empty(), "nobody asked");
}

#[test]
fn an_order_that_failed_before_it_was_paid_leaves_a_tombstone() {
    let mut batch = batch(&[]);
    let mut failed = tea(OrderState::Failed, 3);
    failed.event = Some(Case::Failed(OrderFailed {
        reason: "no milk".into(),
    }));
    assert_eq!(outcome(&mut batch, &failed), Outcome::Done);
    let late = outcome(&mut batch, &tea(OrderState::Paid, 2));
    assert_eq!(late, Outcome::Absorbed(Absorbed::Stale));
    let tombstone = only_ticket(&batch);
    assert_eq!(tombstone.ticket.state, State::Failed);
    assert_eq!(tombstone.ticket.fail_reason.as_deref(), Some("no milk"));
    assert!(tombstone.drinks.is_empty());
}

#[test]
fn an_order_that_failed_takes_its_ticket_along() {
    let mut batch = batch(&[(ORDER, 2)]);
    let failed = tea(OrderState::Failed, 3);
    assert_eq!(outcome(&mut batch, &failed), Outcome::Done);
    let again = outcome(&mut batch, &failed);
    assert_eq!(again, Outcome::Absorbed(Absorbed::Stale));
    assert!(batch.new.is_empty());
    let reason = "reception has given it up".to_owned();
    assert_eq!(batch.ends[&ORDER], ticket::Event::CannotBeMade { reason });
}

#[test]
fn what_cannot_be_made_is_a_ticket_that_says_why() {
    for (drink, why) in [
        ("mate", r#"no recipe for "mate" in "small""#),
        (
            "filter",
            r#"nobody on shift can make "filter", which takes the skill "filter""#,
        ),
    ] {
        let mut batch = batch(&[]);
        let paid = event(OrderState::Paid, 2, vec![item("tea", 1), item(drink, 1)]);
        assert_eq!(outcome(&mut batch, &paid), Outcome::Done);
        let failed = only_ticket(&batch);
        assert_eq!(failed.ticket.state, State::Failed);
        assert_eq!(failed.ticket.fail_reason.as_deref(), Some(why));
        assert!(failed.drinks.is_empty());
    }
}

#[test]
fn a_wish_to_cancel_without_a_ticket_leaves_a_tombstone_that_paid_meets() {
    for wish in [cancel(OrderState::Paid, 3), tea(OrderState::Cancelled, 3)] {
        let mut batch = batch(&[]);
        assert_eq!(outcome(&mut batch, &wish), Outcome::Done);
        let late = outcome(&mut batch, &tea(OrderState::Paid, 2));
        assert_eq!(late, Outcome::Absorbed(Absorbed::Stale));
        let tombstone = only_ticket(&batch);
        assert_eq!(tombstone.ticket.state, State::Cancelled);
        assert!(tombstone.drinks.is_empty());
    }
}

#[test]
fn a_wish_to_cancel_is_put_to_the_ticket_once() {
    let mut batch = batch(&[(ORDER, 2)]);
    let wish = cancel(OrderState::Paid, 3);
    assert_eq!(outcome(&mut batch, &wish), Outcome::Done);
    let again = outcome(&mut batch, &wish);
    assert_eq!(again, Outcome::Absorbed(Absorbed::Stale));
    assert_eq!(batch.ends[&ORDER], ticket::Event::CancelRequested);
    assert!(batch.new.is_empty() && batch.asked.is_empty());
}

#[test]
fn a_question_after_a_wish_to_cancel_is_put_to_the_ticket_and_answered() {
    let mut batch = batch(&[(ORDER, 3)]);
    let mut question = cancel(OrderState::Paid, 3);
    question.event = overdue(OrderState::Paid, 3).event;
    assert_eq!(outcome(&mut batch, &question), Outcome::Done);
    assert_eq!(batch.ends[&ORDER], ticket::Event::CancelRequested);
    assert_eq!(batch.asked, BTreeSet::from([ORDER]));
}

#[test]
fn what_no_order_may_hold_says_why() {
    let paid = |items| reason(&event(OrderState::Paid, 2, items));
    assert_eq!(paid(vec![]), "0 lines; 1 to 20 can be made");
    assert_eq!(
        paid(vec![item("tea", 1); 21]),
        "21 lines; 1 to 20 can be made"
    );
    assert_eq!(paid(vec![item("tea", 0)]), "0 units; 1 to 20 can be made");
    assert_eq!(
        paid(vec![item("tea", 1_000_000_000)]),
        "1000000000 units; 1 to 20 can be made"
    );
}

#[test]
fn what_is_not_understood_is_not_dropped() {
    let unspecified = reason(&tea(OrderState::Unspecified, 3));
    assert!(unspecified.ends_with("is not handled"), "{unspecified}");
    let with = |change: fn(&mut OrderEvent)| {
        let mut event = tea(OrderState::Paid, 2);
        change(&mut event);
        reason(&event)
    };
    assert_eq!(with(|e| e.revision = 0), "revision 0 is not one");
    assert_eq!(with(|e| e.snapshot = None), "the snapshot is missing");
    assert!(with(|e| e.order_id = "7".into()).starts_with("ce_subject"));
    assert_eq!(
        with(|e| e.snapshot.as_mut().expect("it has one").state = 99),
        "unknown order state 99"
    );
}

#[test]
fn garbage_is_a_dead_letter() {
    let mut message = message(&tea(OrderState::Paid, 2));
    message.payload = (&[0xff; 8][..]).into();
    assert!(matches!(hear(&message), Err(Skipped::DeadLetter(reason))
        if reason.starts_with("not an OrderEvent")));
}

fn overdue(state: OrderState, revision: i64) -> OrderEvent {
    let case = proto::reception::v1::OrderOverdue {};
    OrderEvent {
        event: Some(Case::Overdue(case)),
        ..tea(state, revision)
    }
}

#[test]
fn a_question_is_answered_whichever_revision_is_known() {
    for (known, revision, raised) in [(2, 2, None), (3, 2, None), (2, 3, Some(3))] {
        let mut batch = batch(&[(ORDER, known)]);
        let question = overdue(OrderState::Preparing, revision);
        assert_eq!(outcome(&mut batch, &question), Outcome::Done);
        assert_eq!(batch.asked, BTreeSet::from([ORDER]));
        assert_eq!(batch.raised.get(&ORDER).copied(), raised);
        assert!(batch.new.is_empty());
    }
}

#[test]
fn a_question_after_an_order_without_a_ticket_makes_one() {
    for (state, revision) in [(OrderState::Paid, 2), (OrderState::Preparing, 3)] {
        let mut batch = batch(&[]);
        assert_eq!(
            outcome(&mut batch, &overdue(state, revision)),
            Outcome::Done
        );
        assert_eq!(batch.new[0].order_revision, revision);
        assert!(batch.asked.is_empty(), "that it is queued is the answer");
    }
}
