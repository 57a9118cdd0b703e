//! Asking the provider to charge an order, and to give money back.
//!
//! The idempotency key is the order id, for every try of every process: however
//! often we ask, the provider decides once. So every call goes through the stack of
//! `rpc::outbound`, which may send it again, and does not send it while the circuit is open.

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
use planted::Bug;
use proto::{
    money::v1::Money,
    payments::v1::{self as wire, ChargeRequest, payments_service_client::PaymentsServiceClient},
};
use rpc::{
    breaker::{self, Breaker},
    outbound::{self, Outbound},
};
use std::time::Duration;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

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

const NAME: &str = "payments";
const CHARGE: &str = "coffeeshop.payments.v1.PaymentsService/Charge";

/// Where and how orders are charged.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Where orders are charged.
    #[arg(long, env = "PAYMENTS_URL", default_value = "http://127.0.0.1:50053")]
    payments_url: String,
    /// How long one try of a call to payments may take: to charge, to close a key, or to give
    /// money back. An order whose charge is not decided by then is answered as
    /// AWAITING_PAYMENT. Whatever it was, it is settled later with the same key.
    #[arg(long, env = "CHARGE_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    charge_timeout: Duration,
    #[command(flatten)]
    outbound: outbound::Options,
}

/// The provider's client.
#[derive(Clone)]
pub struct Payments {
    client: PaymentsServiceClient<Channel>,
    outbound: Outbound,
}

impl Payments {
    /// A client that connects when it is first used.
    ///
    /// # Errors
    /// The URL is none, or the options contradict each other.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let channel = rpc::client::channel(&options.payments_url)?;
        Ok(Self {
            client: PaymentsServiceClient::new(channel),
            outbound: Outbound::new(
                NAME,
                &options.payments_url,
                options.charge_timeout,
                &options.outbound,
            )?,
        })
    }

    /// The breaker before it.
    pub fn breaker(&self) -> &Breaker {
        self.outbound.breaker()
    }

    /// How long a call may take at most, with every try of it.
    pub fn longest_call(&self) -> Duration {
        self.outbound.longest_call()
    }

    /// Charges, within `budget`.
    ///
    /// # Errors
    /// Whatever keeps the provider from answering with a decision. The charge may
    /// have happened all the same.
    pub async fn charge(&self, charge: Charge, budget: Duration) -> Result<Event, Error> {
        answer::charge(self.send_charge(charge, budget).await)
    }

    async fn send_charge(&self, charge: Charge, budget: Duration) -> Result<wire::Payment, Status> {
        let message = ChargeRequest {
            idempotency_key: match planted::bug(Bug::ChargeKeyPerAttempt) {
                true => Uuid::now_v7().to_string(),
                false => charge.order_id.to_string(),
            },
            amount: Some(Money {
                currency_code: charge.currency_code,
                amount_minor: charge.amount_minor,
            }),
            payment_token: charge.payment_token,
            order_id: charge.order_id.to_string(),
        };
        let send = |request| {
            let mut client = self.client.clone();
            async move { client.charge(request).await }
        };
        let response = self.outbound.call(CHARGE, message, budget, send).await?;
        Ok(response.payment.unwrap_or_default())
    }
}

/// Says why an order is not settled, once per try, and returns it as an outcome.
pub fn log(order_id: OrderId, error: &Error, consequence: &'static str) -> Outcome {
    match error {
        // While the circuit is open this befalls every order, and the circuit's own line has
        // said it once.
        Error::Undecided(status) if breaker::is_rejection(status) => {
            tracing::debug!(coffeeshop.order.id = %order_id, %error, "{consequence}");
            Outcome::Undecided
        }
        Error::Undecided(_) => {
            tracing::warn!(coffeeshop.order.id = %order_id, %error, "{consequence}");
            Outcome::Undecided
        }
        // It stays owed, and is asked for again; but somebody has to look.
        Error::Senseless(_) => {
            tracing::error!(coffeeshop.order.id = %order_id, %error, "{consequence}");
            Outcome::Senseless
        }
    }
}
