//! From the domain to the wire.

use crate::{
    announce::{cancel_state, state, timestamp},
    order::{HistoryEntry, Item, Order, Payment, Refund},
    store::read::MenuItem,
};
use proto::{money::v1::Money, reception::v1 as wire};

pub(super) fn order(order: Order) -> wire::Order {
    let currency = &order.currency_code;
    wire::Order {
        order_id: order.order_id.to_string(),
        customer_name: order.customer_name,
        items: order
            .items
            .iter()
            .map(|line| item(line, currency))
            .collect(),
        total: Some(money(currency, order.total_minor)),
        state: state(order.state).into(),
        revision: order.revision,
        payment_state: payment_state(&order.payment).into(),
        refund_state: refund_state(order.refund).into(),
        cancel_state: cancel_state(order.cancel).into(),
        create_time: Some(timestamp(order.create_time)),
        update_time: Some(timestamp(order.update_time)),
        ready_time: order.ready_time.map(timestamp),
        history: order.history.into_iter().map(history_entry).collect(),
    }
}

pub(super) fn menu_item(item: MenuItem) -> wire::MenuItem {
    wire::MenuItem {
        price: Some(money(&item.currency_code, item.price_minor)),
        drink: item.drink,
        size: item.size,
        title: item.title,
    }
}

fn item(item: &Item, currency: &str) -> wire::OrderItem {
    wire::OrderItem {
        drink: item.drink.clone(),
        size: item.size.clone(),
        quantity: item.quantity,
        unit_price: Some(money(currency, item.unit_price_minor)),
        line_price: Some(money(
            currency,
            item.unit_price_minor * i64::from(item.quantity),
        )),
    }
}

fn history_entry(entry: HistoryEntry) -> wire::OrderHistoryEntry {
    wire::OrderHistoryEntry {
        state: state(entry.state).into(),
        time: Some(timestamp(entry.time)),
        revision: entry.revision,
        detail: entry.detail,
    }
}

fn payment_state(payment: &Payment) -> wire::PaymentState {
    match payment {
        Payment::Pending => wire::PaymentState::Pending,
        Payment::Charged { .. } => wire::PaymentState::Charged,
        Payment::Declined { .. } => wire::PaymentState::Declined,
        Payment::Cancelled => wire::PaymentState::Cancelled,
    }
}

fn refund_state(refund: Refund) -> wire::RefundState {
    match refund {
        Refund::NotNeeded => wire::RefundState::NotNeeded,
        Refund::Pending => wire::RefundState::Pending,
        Refund::Done => wire::RefundState::Done,
    }
}

fn money(currency: &str, amount_minor: i64) -> Money {
    Money {
        currency_code: currency.to_owned(),
        amount_minor,
    }
}
