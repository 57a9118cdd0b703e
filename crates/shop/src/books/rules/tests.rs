//! What a shop that runs looks like between two readings of its orders.

use sqlx::types::Json;

use super::*;

const ORDER: Uuid = Uuid::from_u128(1);

#[test]
fn an_order_that_is_refunded_while_the_books_are_read_is_not_wrong() {
    let paid = || order("PAID", "NOT_NEEDED");
    let cancelled = |refund_state| order("CANCELLED", refund_state);
    let none: [Rule; 0] = [];
    for payment in [charged(), given_back()] {
        let after = cancelled("DONE");
        assert_eq!(found(&paid(), &after, "CANCELLED", payment), none);
    }
    let (before, after) = (cancelled("PENDING"), cancelled("DONE"));
    assert_eq!(found(&before, &after, "CANCELLED", charged()), none);
}

#[test]
fn what_is_refunded_of_an_order_that_goes_on_is_wrong() {
    let (before, after) = (
        order("PAID", "NOT_NEEDED"),
        order("PREPARING", "NOT_NEEDED"),
    );
    let wrong = [Rule::NotChargedOnce];
    assert_eq!(found(&before, &after, "STARTED", given_back()), wrong);
}

#[test]
fn what_is_kept_of_an_order_that_says_it_is_refunded_is_wrong() {
    let cancelled = order("CANCELLED", "DONE");
    let wrong = [Rule::RefundWrong];
    assert_eq!(found(&cancelled, &cancelled, "CANCELLED", charged()), wrong);
}

#[test]
fn an_order_that_is_cancelled_is_not_to_be_made_once_the_barista_has_heard_of_it() {
    let cancelled = order("CANCELLED", "DONE");
    for (ticket, running, settled) in [
        ("STARTED", &[][..], &[Rule::TicketDisagrees][..]),
        ("READY", &[Rule::TicketDisagrees], &[Rule::TicketDisagrees]),
        ("FAILED", &[], &[]),
        ("CANCELLED", &[], &[]),
    ] {
        let entries = || entries(&cancelled, &cancelled, ticket, given_back());
        assert_eq!(rules(&entries(), false), running, "{ticket}");
        assert_eq!(rules(&entries(), true), settled, "{ticket}, settled");
    }
}

fn found(before: &Order, after: &Order, ticket: &str, payment: Payment) -> Vec<Rule> {
    rules(&entries(before, after, ticket, payment), false)
}

fn rules(entries: &Entries, settled: bool) -> Vec<Rule> {
    let findings = findings(entries, &[], settled).into_iter();
    findings.map(|finding| finding.rule).collect()
}

fn entries(before: &Order, after: &Order, ticket: &str, payment: Payment) -> Entries {
    let of_one = |it: &Order| HashMap::from([(ORDER, order(&it.state, &it.refund_state))]);
    let ticket = Ticket {
        order_id: ORDER,
        state: ticket.to_owned(),
        revision: 1,
        history: history(ticket),
        made: Vec::new(),
    };
    Entries {
        orders_before: of_one(before),
        tickets: HashMap::from([(ORDER, ticket)]),
        payments: vec![payment],
        orders_after: of_one(after),
    }
}

fn order(state: &str, refund_state: &str) -> Order {
    Order {
        order_id: ORDER,
        state: state.to_owned(),
        revision: 1,
        total_minor: 420,
        currency_code: "EUR".to_owned(),
        payment_state: "CHARGED".to_owned(),
        refund_state: refund_state.to_owned(),
        cancel_state: "NOT_REQUESTED".to_owned(),
        items: Json(Vec::new()),
        history: history(state),
    }
}

fn history(state: &str) -> History {
    History {
        revisions: vec![1],
        states: vec![state.to_owned()],
    }
}

fn charged() -> Payment {
    Payment {
        order_id: ORDER,
        idempotency_key: ORDER.to_string(),
        amount_minor: 420,
        currency_code: "EUR".to_owned(),
        state: "CHARGED".to_owned(),
        refunded_minor: 0,
        given_back_minor: 0,
    }
}

fn given_back() -> Payment {
    Payment {
        state: "REFUNDED".to_owned(),
        refunded_minor: 420,
        given_back_minor: 420,
        ..charged()
    }
}
