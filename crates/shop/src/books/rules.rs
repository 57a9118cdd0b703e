//! The comparison. Pure: rows in, findings out.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{
    Finding, Rule, Summary,
    read::{Entries, History, Order, Payment, Ticket},
};

/// What an order can go through, in sequence; the last four are ends, of which it reaches one.
const ORDER_STATES: [&str; 8] = [
    "AWAITING_PAYMENT",
    "PAID",
    "PREPARING",
    "READY",
    "COLLECTED",
    "DECLINED",
    "CANCELLED",
    "FAILED",
];
const FIRST_END_OF_ORDER: usize = 4;
/// The same of a ticket; the last three are ends.
const TICKET_STATES: [&str; 5] = ["QUEUED", "STARTED", "READY", "CANCELLED", "FAILED"];
const FIRST_END_OF_TICKET: usize = 2;

/// What is wrong, sorted by rule.
pub(super) fn findings(entries: &Entries, acknowledged: &[Uuid], settled: bool) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    lost(entries, acknowledged, &mut findings);
    refunds_stand(&entries.payments, &mut findings);
    let given_back: HashSet<Uuid> = given_back(&entries.payments).collect();
    let charges = charges(&entries.payments);
    for order in entries.orders_before.values() {
        let ticket = entries.tickets.get(&order.order_id);
        let charges = charges.get(&order.order_id).map_or(&[][..], Vec::as_slice);
        order_stands(order, ticket, settled, &mut findings);
        let later = entries.orders_after.get(&order.order_id);
        charged_once(order, later, charges, &mut findings);
        refund_stands(
            order,
            charges,
            given_back.contains(&order.order_id),
            &mut findings,
        );
    }
    for ticket in entries.tickets.values() {
        let order = entries.orders_after.get(&ticket.order_id);
        ticket_stands(ticket, order, settled, &mut findings);
    }
    for (order_id, charges) in &charges {
        charges_stand(
            *order_id,
            charges,
            entries.orders_after.get(order_id),
            settled,
            &mut findings,
        );
    }
    findings.0.sort();
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, order_id: Uuid, detail: impl Into<String>) {
        self.0.push(Finding {
            rule,
            order_id,
            detail: detail.into(),
        });
    }
}

fn lost(entries: &Entries, acknowledged: &[Uuid], findings: &mut Findings) {
    for order_id in acknowledged {
        if !entries.orders_after.contains_key(order_id) {
            findings.add(Rule::Lost, *order_id, "no such order");
        }
    }
}

/// Payments that took money, and did not give all of it back.
fn charges(payments: &[Payment]) -> HashMap<Uuid, Vec<&Payment>> {
    let mut charges: HashMap<Uuid, Vec<&Payment>> = HashMap::new();
    for payment in payments.iter().filter(|p| p.kept_minor() > 0) {
        charges.entry(payment.order_id).or_default().push(payment);
    }
    charges
}

/// Orders of which money was given back.
fn given_back(payments: &[Payment]) -> impl Iterator<Item = Uuid> {
    let given_back = payments.iter().filter(|p| p.given_back_minor > 0);
    given_back.map(|payment| payment.order_id)
}

/// What the provider's own rows say of each other.
fn refunds_stand(payments: &[Payment], findings: &mut Findings) {
    for payment in payments {
        let Payment {
            state,
            amount_minor,
            refunded_minor,
            given_back_minor,
            ..
        } = payment;
        let due = match state.as_str() {
            "REFUNDED" => *amount_minor,
            _ => 0,
        };
        if (*given_back_minor, *refunded_minor) != (due, due) {
            let detail = format!(
                "{state} {amount_minor}, refunded {refunded_minor}, refunds {given_back_minor}"
            );
            findings.add(Rule::GivenBackWrong, payment.order_id, detail);
        }
    }
}

/// What an order's state implies of the others.
fn order_stands(order: &Order, ticket: Option<&Ticket>, settled: bool, findings: &mut Findings) {
    let (id, state) = (order.order_id, order.state.as_str());
    if let Some(unfinished) = unfinished(order).filter(|_| settled) {
        findings.add(Rule::Unfinished, id, unfinished);
    }
    if is_served(state) {
        if let Some(difference) = made_differently(order, ticket) {
            findings.add(Rule::NotMadeAsOrdered, id, difference);
        }
        let ticket = ticket.map_or("absent", |ticket| &ticket.state);
        if ticket != "READY" {
            findings.add(
                Rule::TicketDisagrees,
                id,
                format!("order {state}, ticket {ticket}"),
            );
        }
    }
    let broken = broken(
        &order.history,
        order.revision,
        state,
        &ORDER_STATES,
        FIRST_END_OF_ORDER,
    );
    if let Some(broken) = broken {
        findings.add(Rule::OrderHistoryBroken, id, broken);
    }
}

/// What of an order still has to come.
fn unfinished(order: &Order) -> Option<String> {
    let (state, refund, cancel) = (&order.state, &order.refund_state, &order.cancel_state);
    if matches!(state.as_str(), "AWAITING_PAYMENT" | "PAID" | "PREPARING") {
        return Some(state.clone());
    }
    let waits = refund == "PENDING" || cancel == "REQUESTED";
    waits.then(|| format!("{state}, refund {refund}, cancel {cancel}"))
}

/// What an order that is paid implies of its charges. Between the two readings of the orders it may
/// have ended without coffee, and its money may be back.
fn charged_once(
    order: &Order,
    later: Option<&Order>,
    charges: &[&Payment],
    findings: &mut Findings,
) {
    let ended_since = later.is_some_and(|order| ended_without_coffee(&order.state));
    if is_paid(&order.state) && !ended_since && !charged_its_total(order, charges) {
        let amounts: Vec<i64> = charges.iter().map(|charge| charge.amount_minor).collect();
        let detail = format!("total {}, charges {amounts:?}", order.total_minor);
        findings.add(Rule::NotChargedOnce, order.order_id, detail);
    }
}

/// What an order says of its refund. Asked of charges and refunds that were read later than
/// the order: what it says is done was done before.
fn refund_stands(order: &Order, charges: &[&Payment], given_back: bool, findings: &mut Findings) {
    let (id, refund) = (order.order_id, order.refund_state.as_str());
    let wrong = match refund {
        "DONE" => !charges.is_empty() || !given_back,
        "PENDING" => !ended_without_coffee(&order.state),
        _ => order.payment_state == "CHARGED" && ended_without_coffee(&order.state),
    };
    if wrong {
        let (state, charges) = (&order.state, charges.len());
        let detail = format!(
            "order {state}, refund {refund}, charges kept {charges}, given back {given_back}"
        );
        findings.add(Rule::RefundWrong, id, detail);
    }
}

/// What a ticket implies of its order.
fn ticket_stands(ticket: &Ticket, order: Option<&Order>, settled: bool, findings: &mut Findings) {
    let id = ticket.order_id;
    let state = order.map_or("absent", |order| order.state.as_str());
    let made = !ticket.made.is_empty() || !matches!(ticket.state.as_str(), "CANCELLED" | "FAILED");
    if made && !is_paid(state) && !order.is_some_and(was_paid) {
        let detail = format!("order {state}, {} drinks booked", ticket.made.len());
        findings.add(Rule::MadeUnpaid, id, detail);
    }
    let ticket_state = ticket.state.as_str();
    let disagrees = match state {
        "PAID" | "PREPARING" => settled && matches!(ticket_state, "READY" | "FAILED"),
        // Made in spite of it, or about to be: until the barista has heard of it.
        "FAILED" => ticket_state == "READY" || settled && ticket_state != "FAILED",
        "CANCELLED" => {
            ticket_state == "READY" || settled && !matches!(ticket_state, "CANCELLED" | "FAILED")
        }
        _ => false,
    };
    if disagrees {
        let detail = format!("order {state}, ticket {ticket_state}");
        findings.add(Rule::TicketDisagrees, id, detail);
    }
    let broken = broken(
        &ticket.history,
        ticket.revision,
        &ticket.state,
        &TICKET_STATES,
        FIRST_END_OF_TICKET,
    );
    if let Some(broken) = broken {
        findings.add(Rule::TicketHistoryBroken, id, broken);
    }
}

/// What charges imply of their order.
fn charges_stand(
    order_id: Uuid,
    charges: &[&Payment],
    order: Option<&Order>,
    settled: bool,
    findings: &mut Findings,
) {
    let state = order.map_or("absent", |order| order.state.as_str());
    // Until it is settled, an order is not known to be charged.
    let undecided = state == "AWAITING_PAYMENT" && !settled;
    if !is_paid(state) && !undecided && !order.is_some_and(speaks_of_a_refund) {
        findings.add(Rule::ChargedForNothing, order_id, format!("order {state}"));
    }
    if charges.len() > 1 {
        let keys: Vec<&str> = charges
            .iter()
            .map(|charge| charge.idempotency_key.as_str())
            .collect();
        findings.add(
            Rule::ChargedTwice,
            order_id,
            format!("keys {}", keys.join(", ")),
        );
    }
}

fn is_paid(state: &str) -> bool {
    matches!(state, "PAID" | "PREPARING") || is_served(state)
}

/// An end without coffee.
fn ended_without_coffee(state: &str) -> bool {
    matches!(state, "CANCELLED" | "FAILED")
}

/// Whether it was paid for, and then ended without coffee: what was made of it is wasted,
/// but was not made for nothing.
fn was_paid(order: &Order) -> bool {
    ended_without_coffee(&order.state) && order.payment_state == "CHARGED"
}

/// Whether the money is to be given back, and the order says so.
fn is_owed(order: &Order) -> bool {
    ended_without_coffee(&order.state) && order.refund_state == "PENDING"
}

/// The same, or that it is back: the charge was read before the order, and may have been given
/// back in between. Whether one that is kept is said to be back is asked of the earlier reading.
fn speaks_of_a_refund(order: &Order) -> bool {
    ended_without_coffee(&order.state) && matches!(order.refund_state.as_str(), "PENDING" | "DONE")
}

fn is_served(state: &str) -> bool {
    matches!(state, "READY" | "COLLECTED")
}

fn charged_its_total(order: &Order, charges: &[&Payment]) -> bool {
    let [charge] = charges else { return false };
    charge.idempotency_key == order.order_id.to_string()
        && charge.amount_minor == order.total_minor
        && charge.currency_code == order.currency_code
}

/// How what was booked differs from what was ordered, unit by unit.
fn made_differently(order: &Order, ticket: Option<&Ticket>) -> Option<String> {
    let mut units: BTreeMap<(i32, i32, &str, &str), i32> = BTreeMap::new();
    for (line, item) in (0..).zip(&order.items.0) {
        for unit in 0..item.quantity {
            *units
                .entry((line, unit, &item.drink, &item.size))
                .or_default() -= 1;
        }
    }
    for made in ticket.iter().flat_map(|ticket| &ticket.made) {
        *units
            .entry((made.line, made.unit, &made.drink, &made.size))
            .or_default() += 1;
    }
    let differences: Vec<String> = units
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|((line, unit, drink, size), count)| {
            format!("line {line} unit {unit} {drink}/{size} {count:+}")
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// What is wrong with a history: revisions must be 1 to n, and no state may follow a later one.
fn broken(
    history: &History,
    revision: i64,
    state: &str,
    states: &[&str],
    first_end: usize,
) -> Option<String> {
    let rank = |state: &String| {
        states
            .iter()
            .position(|known| known == state)
            .map(|at| at.min(first_end))
    };
    if !history.revisions.iter().copied().eq(1..=revision) {
        return Some(format!(
            "revisions {:?} of 1 to {revision}",
            history.revisions
        ));
    }
    let forward = |pair: &[String]| pair[0] == pair[1] || rank(&pair[0]) < rank(&pair[1]);
    if !history.states.windows(2).all(forward) {
        return Some(history.states.join(" → "));
    }
    let last = history.states.last().map(String::as_str);
    (last != Some(state)).then(|| format!("{state}, but its history ends {last:?}"))
}

/// The figures.
pub(super) fn summary(entries: &Entries, acknowledged: &[Uuid]) -> Summary {
    let orders = &entries.orders_after;
    let paid = || orders.values().filter(|order| is_paid(&order.state));
    let units = |order: &Order| {
        order
            .items
            .iter()
            .map(|item| i64::from(item.quantity))
            .sum::<i64>()
    };
    let charges = charges(&entries.payments);
    let kept = |order: &Order| {
        let charges = charges.get(&order.order_id).into_iter().flatten();
        charges.map(|charge| charge.kept_minor()).sum::<i64>()
    };
    let charges = || charges.values().flatten();
    let owed = || orders.values().filter(|order| is_owed(order));
    let count = |state: &str| orders.values().filter(|order| order.state == state).count();
    Summary {
        acknowledged: acknowledged.len(),
        orders: ORDER_STATES
            .map(|state| (state.to_owned(), count(state)))
            .into(),
        drinks_ordered: paid().map(units).sum(),
        drinks_booked: entries
            .tickets
            .values()
            .map(|ticket| ticket.made.len())
            .sum(),
        charges: charges().count(),
        ordered_minor: paid().map(|order| order.total_minor).sum(),
        charged_minor: charges().map(|charge| charge.kept_minor()).sum(),
        refunds_owed: owed().count(),
        owed_minor: owed().map(kept).sum(),
        refunded_minor: entries.payments.iter().map(|p| p.given_back_minor).sum(),
    }
}

#[cfg(test)]
mod tests;
