//! Messages of `PaymentsService`, to and from the domain.
//!
//! Everything that is wrong with a request is found before it is refused. A field that is
//! wrong becomes a default on the way, which the refusal throws away.

use crate::{
    payment::{Charge, Decision, Money, OrderId, Payment, PaymentId, Refund, TokenHash},
    refund::Wanted,
};
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use proto::{
    money::v1 as wire_money,
    payments::v1::{self as wire, get_payment_request::By},
};
use rpc::{page, status::Violations, validate};
use std::fmt;
use tonic::Status;

const CURRENCY_CODE: &str = "EUR";
const AMOUNT_MINOR_MAX: i64 = 1_000_000;
const KEY_CHARS_MAX: usize = 100;
const TOKEN_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 200;

/// The filter in page tokens: this list has none of its own.
const LIST_PAYMENTS: &str = "ListPayments";

/// The key of a charge, and what it asks for.
pub fn charge(request: wire::ChargeRequest) -> Result<(String, Charge), Status> {
    let mut violations = Violations::new();
    let token = &request.payment_token;
    check_key(&mut violations, &request.idempotency_key);
    let amount = amount(&mut violations, request.amount);
    validate::visible_ascii(
        &mut violations,
        "payment_token",
        token,
        TOKEN_CHARS_MAX,
        true,
    );
    let order_id = validate::uuid(&mut violations, "order_id", &request.order_id);
    violations.into_result()?;
    let charge = Charge {
        token_hash: TokenHash::of(token),
        order_id: OrderId(order_id.unwrap_or_default()),
        amount,
    };
    Ok((request.idempotency_key, charge))
}

/// The key that a request asks to close.
pub fn cancelled_key(request: wire::CancelPaymentRequest) -> Result<String, Status> {
    let mut violations = Violations::new();
    check_key(&mut violations, &request.idempotency_key);
    violations.into_result()?;
    Ok(request.idempotency_key)
}

/// What a request asks to give back.
pub fn refund(request: wire::RefundRequest) -> Result<Wanted, Status> {
    let mut violations = Violations::new();
    check_key(&mut violations, &request.idempotency_key);
    let payment_id = validate::uuid(&mut violations, "payment_id", &request.payment_id);
    let amount = amount(&mut violations, request.amount);
    let reason = &request.reason;
    validate::text(&mut violations, "reason", reason, REASON_CHARS_MAX, false);
    violations.into_result()?;
    Ok(Wanted {
        idempotency_key: request.idempotency_key,
        payment_id: PaymentId(payment_id.unwrap_or_default()),
        amount,
        reason: request.reason,
    })
}

fn check_key(violations: &mut Violations, key: &str) {
    validate::visible_ascii(violations, "idempotency_key", key, KEY_CHARS_MAX, true);
}

fn amount(violations: &mut Violations, amount: Option<wire_money::Money>) -> Money {
    let Some(wire_money::Money {
        currency_code,
        amount_minor,
    }) = amount
    else {
        violations.add("amount", "must be given");
        return Money::default();
    };
    if currency_code != CURRENCY_CODE {
        violations.add("amount.currency_code", format!("must be {CURRENCY_CODE}"));
    }
    if !(1..=AMOUNT_MINOR_MAX).contains(&amount_minor) {
        violations.add(
            "amount.amount_minor",
            format!("must be 1 to {AMOUNT_MINOR_MAX}"),
        );
    }
    Money {
        currency_code,
        amount_minor,
    }
}

/// What a payment is looked up by.
pub enum PaymentName {
    /// Its id.
    Id(PaymentId),
    /// The key that it is the decision for.
    Key(String),
}

impl fmt::Display for PaymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Key(key) => key.fmt(f),
        }
    }
}

/// Which payment a request looks for.
pub fn payment_name(request: wire::GetPaymentRequest) -> Result<PaymentName, Status> {
    let mut violations = Violations::new();
    let name = match request.by {
        Some(By::PaymentId(id)) => {
            let id = validate::uuid(&mut violations, "payment_id", &id);
            PaymentName::Id(PaymentId(id.unwrap_or_default()))
        }
        Some(By::IdempotencyKey(key)) => {
            check_key(&mut violations, &key);
            PaymentName::Key(key)
        }
        None => {
            violations.add("by", "must be payment_id or idempotency_key");
            PaymentName::Key(String::new())
        }
    };
    violations.into_result().map(|()| name)
}

/// Which part of the list a request asks for.
pub struct Page {
    /// The last payment of the page before.
    pub before: Option<PaymentId>,
    size: i64,
}

/// The page that a request asks for.
pub fn page(request: &wire::ListPaymentsRequest) -> Result<Page, Status> {
    let mut violations = Violations::new();
    let size = page::size(request.page_size);
    if size.is_none() {
        violations.add("page_size", "must not be negative");
    }
    let before = last_seen(&request.page_token);
    if before.is_none() && !request.page_token.is_empty() {
        violations.add("page_token", "must be the next_page_token of this list");
    }
    violations.into_result()?;
    Ok(Page {
        before,
        size: size.unwrap_or_default(),
    })
}

fn last_seen(token: &str) -> Option<PaymentId> {
    let key = page::decode(LIST_PAYMENTS, token)?;
    key.parse().ok().map(PaymentId)
}

impl Page {
    /// How many rows to read: one more than the page has tells whether another follows.
    pub fn limit(&self) -> i64 {
        self.size + 1
    }

    /// The response, from the rows that were read.
    pub fn response(&self, mut payments: Vec<Payment>) -> wire::ListPaymentsResponse {
        let size = usize::try_from(self.size).unwrap_or_default();
        let is_last = payments.len() <= size;
        payments.truncate(size);
        let next = payments.last().filter(|_| !is_last);
        wire::ListPaymentsResponse {
            next_page_token: next.map(token_after).unwrap_or_default(),
            payments: payments.into_iter().map(Into::into).collect(),
        }
    }
}

fn token_after(last: &Payment) -> String {
    page::encode(LIST_PAYMENTS, &last.payment_id.to_string())
}

impl From<Payment> for wire::Payment {
    fn from(payment: Payment) -> Self {
        let state = state(&payment.decision);
        let refunded_minor = payment.decision.refunded_minor();
        let decided = Self {
            payment_id: payment.payment_id.to_string(),
            idempotency_key: payment.idempotency_key,
            state: state.into(),
            create_time: Some(timestamp(payment.create_time)),
            ..Self::default()
        };
        let (charge, decline_reason) = match payment.decision {
            Decision::Charged(charge) | Decision::Refunded(charge) => (charge, String::new()),
            Decision::Declined { charge, reason } => (charge, reason),
            Decision::Cancelled => return decided,
        };
        let refunded = Money {
            amount_minor: refunded_minor,
            ..charge.amount.clone()
        };
        Self {
            order_id: charge.order_id.to_string(),
            amount: Some(charge.amount.into()),
            decline_reason,
            refunded_amount: Some(refunded.into()),
            ..decided
        }
    }
}

fn state(decision: &Decision) -> wire::PaymentState {
    match decision {
        Decision::Charged(_) => wire::PaymentState::Charged,
        Decision::Declined { .. } => wire::PaymentState::Declined,
        Decision::Refunded(_) => wire::PaymentState::Refunded,
        Decision::Cancelled => wire::PaymentState::Cancelled,
    }
}

impl From<Refund> for wire::Refund {
    fn from(refund: Refund) -> Self {
        Self {
            refund_id: refund.refund_id.to_string(),
            payment_id: refund.payment_id.to_string(),
            amount: Some(refund.amount.into()),
            create_time: Some(timestamp(refund.create_time)),
        }
    }
}

impl From<Money> for wire_money::Money {
    fn from(money: Money) -> Self {
        Self {
            currency_code: money.currency_code,
            amount_minor: money.amount_minor,
        }
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
