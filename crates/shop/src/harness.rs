//! A whole shop for one test: real Postgres, real Kafka, all services, and the books at the end.
//!
//! Tests of one process share the two servers; databases, topics and consumer groups are the shop's
//! own. Services run inside the test, or as child processes where they are to be killed.
//! Guarantee: nothing outlives the test process, even if that ends by `kill -9`; and a shop that is
//! not closed, and so not checked, fails its test.

use std::{
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Result;
use futures::future::try_join_all;
use proto::{
    barista::v1::barista_service_client::BaristaServiceClient,
    payments::v1::{
        payments_admin_service_client::PaymentsAdminServiceClient,
        payments_service_client::PaymentsServiceClient,
    },
    reception::v1::{
        GetOrderRequest, Order, OrderState, PlaceOrderRequest, get_order_request::By,
        reception_service_client::ReceptionServiceClient,
    },
};
use sqlx::PgPool;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use crate::{
    customers::{Customer, History},
    postgres::create_database,
    servers::Servers,
    services::Service,
};

/// What is in flight, and the end of a shop.
mod closing;
/// A service, in this process or as a child.
mod hosted;
/// Waiting for what must come.
mod patience;
/// The provider's moods.
mod provider;
/// Servers: shared, or for one shop alone.
mod shared;

pub use hosted::Hosted;
pub use patience::{eventually, patience};
pub use provider::Provider;

/// Fewer than in production: each costs every test a little.
const PARTITIONS: u32 = 2;

/// How to open a shop.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Servers for this shop alone, because the test stops or kills them.
    pub own_servers: bool,
    /// Services as child processes, because the test kills them.
    pub processes: bool,
    /// Settings on top, by the names of their environment variables: `CHARGE_TIMEOUT`, `300ms`.
    pub settings: Vec<(Service, &'static str, &'static str)>,
}

/// An open shop.
pub struct Shop {
    /// Takes orders.
    pub reception: Hosted,
    /// Makes drinks.
    pub barista: Hosted,
    /// Decides charges.
    pub payments: Hosted,
    /// Tells `payments` how to behave.
    pub provider: Provider,
    /// Postgres and Kafka.
    pub servers: Arc<Servers>,
    name: String,
    pools: Pools,
    customer: Customer,
    history: History,
    closed: bool,
}

/// Connections of the test itself to each service's database.
struct Pools {
    reception: PgPool,
    barista: PgPool,
    payments: PgPool,
}

impl Shop {
    /// Opens a shop and waits until it is ready.
    pub async fn open(options: Options) -> Result<Self> {
        let servers = match options.own_servers {
            true => shared::own().await?,
            false => shared::shared().await?,
        };
        let name = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
        let urls = Service::ALL.map(|service| {
            let database = database(service, &name);
            let servers = servers.clone();
            async move { create_database(servers.postgres_admin_url(), &database, &database).await }
        });
        let urls = try_join_all(urls).await?;
        let hosted = hosted::host_all(&servers, &name, &urls, &options)?;
        let [payments, barista, reception] = hosted;
        let history = History::default();
        let shop = Self {
            pools: Pools::new(&urls)?,
            customer: Customer::new(&reception.url(), history.clone())?,
            provider: Provider::new(PaymentsAdminServiceClient::new(payments.channel()?)),
            (reception, barista, payments, servers, name, history),
            closed: false,
        };
        Ok(shop)
    }
}
