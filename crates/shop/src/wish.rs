//! `shop cancel` and `shop collect`: what a customer wants of an order that is placed.

use anyhow::{Context as _, Result, bail};
use proto::reception::v1::{
    CancelOrderRequest, CancelState, CollectOrderRequest, Order,
    reception_service_client::ReceptionServiceClient,
};
use std::time::Duration;
use tonic::Status;

use crate::{
    customers::{Customer, History},
    dir,
    order::{self, explain},
    part::Part,
    state,
};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which order.
#[derive(clap::Args, Clone, Debug)]
pub struct Which {
    /// The order's id, as `shop order` prints it.
    order_id: String,
    /// A reception elsewhere than the shop on this machine.
    #[arg(long, env = "SHOP_RECEPTION", value_name = "URL")]
    reception: Option<String>,
}

/// Which order to cancel.
#[derive(clap::Args, Clone, Debug)]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
    /// Why, for people.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Asks to cancel, and follows the order until that is decided; an error if it was too late.
pub async fn cancel(options: Cancel, dir: &dir::Options) -> Result<()> {
    let (customer, order_id) = customer(options.which, dir)?;
    let reason = options.reason;
    let request = rpc::client::request(CancelOrderRequest { order_id, reason }, DEADLINE);
    let answer = client(&customer).cancel_order(request).await;
    let order = held(answer.map(|answer| answer.into_inner().order))?;
    let is_decided = |order: &Order| order.cancel_state() != CancelState::Requested;
    let decided = order::follow(&customer, &order, is_decided).await?;
    if decided.cancel_state() == CancelState::Refused {
        let state = order::name(decided.state());
        bail!("too late: order {} is {state}", decided.order_id);
    }
    Ok(())
}

/// Takes an order that is READY.
pub async fn collect(which: Which, dir: &dir::Options) -> Result<()> {
    let (customer, order_id) = customer(which, dir)?;
    let request = rpc::client::request(CollectOrderRequest { order_id }, DEADLINE);
    let answer = client(&customer).collect_order(request).await;
    let order = held(answer.map(|answer| answer.into_inner().order))?;
    order::follow(&customer, &order, |_| true).await?;
    Ok(())
}

fn customer(which: Which, dir: &dir::Options) -> Result<(Customer, String)> {
    let url = state::url(which.reception.as_deref(), Part::Reception, dir)?;
    Ok((Customer::new(&url, History::default())?, which.order_id))
}

fn client(customer: &Customer) -> ReceptionServiceClient<tonic::transport::Channel> {
    ReceptionServiceClient::new(customer.channel())
}

fn held(answer: Result<Option<Order>, Status>) -> Result<Order> {
    let order = answer
        .map_err(rpc::client::normalize)
        .map_err(|status| explain::error(&status))?;
    order.context("the answer holds no order")
}
