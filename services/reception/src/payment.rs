//! Asking the provider to charge an order, and to give money back.
//!
//! The idempotency key is the order id, for every try of every process: however
//! often we ask, the provider decides once.

// What the provider's answers mean for an order.
mod answer;
// What an order that ended without coffee asks for.
mod give_back;

pub use answer::Error;
pub use give_back::Refund;

use crate::{
    metrics::Outcome,
    order::{Event, OrderId},
    store::NewOrder,
};
use proto::{
    money::v1::Money,
    payments::v1::{self as wire, ChargeRequest, payments_service_client::PaymentsServiceClient},
};
use std::time::Duration;
use tonic::{Status, transport::Channel};

/// What is to be charged. Not `Debug`: it holds the token.
#[derive(Clone)]
pub struct Charge {
    /// The order, and the idempotency key.
    pub order_id: OrderId,
    /// In minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency_code: String,
    /// What to charge it to.
    pub payment_token: String,
}

impl Charge {
    /// The charge of a new order.
    pub fn of(new: &NewOrder) -> Self {
        Self {
            order_id: new.order.order_id,
            amount_minor: new.order.total_minor,
            currency_code: new.order.currency_code.clone(),
            payment_token: new.payment_token.clone(),
        }
    }
}

/// The provider's client.
#[derive(Clone)]
pub struct Payments {
    client: PaymentsServiceClient<Channel>,
    timeout: Duration,
}

impl Payments {
    /// A client that connects when it is first used.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            client: PaymentsServiceClient::new(rpc::client::channel(url)?),
            timeout,
        })
    }

    /// Charges, within `budget` and the time one try may take.
    ///
    /// # Errors
    /// Whatever keeps the provider from answering with a decision. The charge may
    /// have happened all the same.
    pub async fn charge(&self, charge: Charge, budget: Duration) -> Result<Event, Error> {
        answer::charge(self.send_charge(charge, budget).await)
    }

    async fn send_charge(&self, charge: Charge, budget: Duration) -> Result<wire::Payment, Status> {
        let message = ChargeRequest {
            idempotency_key: charge.order_id.to_string(),
            amount: Some(Money {
                currency_code: charge.currency_code,
                amount_minor: charge.amount_minor,
            }),
            payment_token: charge.payment_token,
            order_id: charge.order_id.to_string(),
        };
        let request = rpc::client::request(message, self.timeout.min(budget));
        let response = self
            .client
            .clone()
            .charge(request)
            .await
            .map_err(rpc::client::normalize)?;
        Ok(response.into_inner().payment.unwrap_or_default())
    }
}

/// Says why an order is not settled, once per try, and returns it as an outcome.
pub fn log(order_id: OrderId, error: &Error, consequence: &'static str) -> Outcome {
    match error {
        Error::Undecided(_) => {
            tracing::warn!(order.id = %order_id, %error, "{consequence}");
            Outcome::Undecided
        }
        // It stays owed, and is asked for again; but somebody has to look.
        Error::Senseless(_) => {
            tracing::error!(order.id = %order_id, %error, "{consequence}");
            Outcome::Senseless
        }
    }
}
