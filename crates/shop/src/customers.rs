//! Customers: what they ask for, and what they were told.
//!
//! What a customer was told is the promise. The books compare it with what the services stored, so it
//! is kept apart from them, in a [`History`].

use std::time::Duration;

use anyhow::Result;
use proto::reception::v1::{
    Order, PlaceOrderItem, PlaceOrderRequest, reception_service_client::ReceptionServiceClient,
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

pub use crate::history::History;

/// How long a customer waits for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two tries of a patient customer.
const PAUSE: Duration = Duration::from_millis(100);

/// An order of one line, with a `request_id` of its own.
pub fn order(drink: &str, size: &str, quantity: i32) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: Uuid::now_v7().to_string(),
        customer_name: "Ada".to_owned(),
        items: vec![item(drink, size, quantity)],
        payment_token: "tok_visa".to_owned(),
    }
}

/// A line of an order.
pub fn item(drink: &str, size: &str, quantity: i32) -> PlaceOrderItem {
    PlaceOrderItem {
        drink: drink.to_owned(),
        size: size.to_owned(),
        quantity,
    }
}

/// One large latte.
pub fn latte() -> PlaceOrderRequest {
    order("latte", "large", 1)
}

/// One espresso.
pub fn espresso() -> PlaceOrderRequest {
    order("espresso", "single", 1)
}

/// Somebody who orders, over a connection of their own.
#[derive(Clone, Debug)]
pub struct Customer {
    channel: Channel,
    history: History,
}

impl Customer {
    /// A customer of the reception at this URL. Connects when ordering.
    pub fn new(url: &str, history: History) -> Result<Self> {
        Ok(Self {
            channel: rpc::client::channel(url)?,
            history,
        })
    }

    /// The connection.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Places an order, once.
    pub async fn place(&self, order: PlaceOrderRequest) -> Result<Order, Status> {
        self.place_as_of(order, Instant::now()).await
    }

    /// The same of a customer who was to come at that time.
    pub async fn place_as_of(
        &self,
        order: PlaceOrderRequest,
        came: Instant,
    ) -> Result<Order, Status> {
        let asked = self.history.asks(&order, came);
        let request = rpc::client::request(order, DEADLINE);
        let mut client = ReceptionServiceClient::new(self.channel());
        let answer = client
            .place_order(request)
            .await
            .map_err(rpc::client::normalize);
        let answer = answer.and_then(|answer| {
            let order = answer.into_inner().order;
            order.ok_or_else(|| Status::internal("the answer holds no order"))
        });
        self.history.answered(&asked, &answer);
        answer
    }

    /// Places an order, and asks again with the same `request_id` for as long as nobody knows whether
    /// it was stored. Returns the last error when patience is out.
    pub async fn place_patiently(
        &self,
        order: PlaceOrderRequest,
        patience: Duration,
    ) -> Result<Order, Status> {
        let deadline = Instant::now() + patience;
        loop {
            match self.place(order.clone()).await {
                Err(status) if is_passing(status.code()) && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

/// What a connection that breaks, or a process that is gone, looks like from here.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled
    )
}
