//! What an order that ended without coffee asks of the provider.
//!
//! While it is not known whether it was charged its key is closed, which gives back what was
//! charged; a charge that is known is refunded. Both are keyed, by the order and for ever:
//! whoever asks, and however often, the money goes back once.

use super::{Error, Payments, answer};
use crate::order::{Event, OrderId};
use planted::Bug;
use proto::{
    money::v1::Money,
    payments::v1::{CancelPaymentRequest, RefundRequest},
};
use std::time::Duration;
use tonic::Status;
use uuid::Uuid;

const CANCEL: &str = "coffeeshop.payments.v1.PaymentsService/CancelPayment";
const REFUND: &str = "coffeeshop.payments.v1.PaymentsService/Refund";

/// What is to be given back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The order, of which the idempotency key is made.
    pub order_id: OrderId,
    /// The provider's id of the charge.
    pub payment_id: Uuid,
    /// All of it, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency_code: String,
}

impl Payments {
    /// Closes the order's key for good, as often and for as long as `rpc::outbound` tries.
    ///
    /// # Errors
    /// Whatever keeps the provider from answering with a decision. The key may be closed all
    /// the same.
    pub async fn cancel(&self, order_id: OrderId) -> Result<Event, Error> {
        let message = CancelPaymentRequest {
            idempotency_key: order_id.to_string(),
        };
        answer::cancel(self.send_cancel(message).await)
    }

    /// Gives the order's charge back, as often and for as long as `rpc::outbound` tries.
    ///
    /// # Errors
    /// Whatever keeps the provider from answering with a decision. The money may be back all
    /// the same.
    pub async fn refund(&self, refund: Refund) -> Result<Event, Error> {
        let payment_id = refund.payment_id;
        let message = RefundRequest {
            // Not the charge's own key, and the same for every try of every process.
            idempotency_key: match planted::bug(Bug::RefundWithoutKey) {
                true => Uuid::now_v7().to_string(),
                false => format!("refund-{}", refund.order_id),
            },
            payment_id: payment_id.to_string(),
            amount: Some(Money {
                currency_code: refund.currency_code,
                amount_minor: refund.amount_minor,
            }),
            reason: "the order ended without coffee".to_owned(),
        };
        answer::refund(payment_id, self.send_refund(message).await)
    }

    async fn send_cancel(
        &self,
        message: CancelPaymentRequest,
    ) -> Result<proto::payments::v1::Payment, Status> {
        let send = |request| {
            let mut client = self.client.clone();
            async move { client.cancel_payment(request).await }
        };
        let response = self.outbound.call(CANCEL, message, Duration::MAX, send);
        Ok(response.await?.payment.unwrap_or_default())
    }

    async fn send_refund(
        &self,
        message: RefundRequest,
    ) -> Result<proto::payments::v1::Refund, Status> {
        let send = |request| {
            let mut client = self.client.clone();
            async move { client.refund(request).await }
        };
        let response = self.outbound.call(REFUND, message, Duration::MAX, send);
        Ok(response.await?.refund.unwrap_or_default())
    }
}
