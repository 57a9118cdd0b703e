//! A whole shop for one test: real Postgres, real Kafka, all services, and the books at the end.
//!
//! Tests of one process share the two servers; databases, topics and consumer groups are the shop's
//! own. Services run inside the test, or as child processes where they are to be killed.
//!
//! Guarantee: nothing outlives the test process, even if that ends by `kill -9`; and a shop that was
//! not closed, and so not checked, fails its test. What a test asks of its shop either works or
//! panics with what was seen.

use std::{path::PathBuf, sync::Arc, thread};

use anyhow::Result;
use proto::{
    barista::v1::barista_service_client::BaristaServiceClient,
    operations::v1::circuits_service_client::CircuitsServiceClient,
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
    books,
    customers::{Customer, History},
    fault::Proxy,
    servers::{Layout, Proxied, Servers},
    services::Service,
};

/// Waiting until nothing is in flight, and the end of a shop.
mod closing;
/// What services export, for a test to look at.
mod collector;
/// Each service's own database.
mod database;
/// A service, in this process or as a child.
mod hosted;
/// A proxy on each line between two parts.
mod lines;
/// What is taken away from a shop for good.
mod losses;
/// Waiting for what must come.
mod patience;
/// Messages that no service would write.
mod poison;
/// How the provider behaves.
mod provider;
/// Servers: shared, or for one shop alone.
mod shared;
/// Each shop's own topics.
mod topics;
/// Who is told what at the start.
mod wiring;

pub use closing::{InFlight, UNSENT};
pub use collector::Collector;
use database::Databases;
pub use hosted::Hosted;
pub use lines::Line;
use lines::Lines;
pub use patience::{eventually, outage, patience};
pub use provider::Provider;
use wiring::Wiring;

/// How to open a shop.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Servers for this shop alone, because the test stops or kills them.
    pub own_servers: bool,
    /// Services reach Kafka through a proxy that can break: [`Servers::kafka_proxy`]. Implies own
    /// servers, and services as child processes.
    pub kafka_proxy: bool,
    /// Only this service reaches Kafka through the proxy; the others go round it.
    pub kafka_proxy_before: Option<Service>,
    /// How Postgres and Kafka are laid out. Anything but the default implies own servers.
    pub layout: Layout,
    /// The same before Postgres: [`Servers::postgres_proxy`].
    pub postgres_proxy: bool,
    /// A proxy on each [`Line`] between two parts. Implies own servers, and services as child
    /// processes.
    pub lines: bool,
    /// Services as child processes, because the test kills them.
    pub processes: bool,
    /// Where its processes log to, if not with those of the other tests.
    pub logs: Option<PathBuf>,
    /// What its customers are told is told here, too.
    pub history: History,
    /// Settings on top, by the names of their environment variables: `("CHARGE_TIMEOUT", "300ms")`.
    pub settings: Vec<(Service, &'static str, String)>,
}

impl Options {
    fn proxied(&self) -> Option<Proxied> {
        let (kafka, postgres) = (self.kafka_proxy, self.postgres_proxy);
        let own = self.own_servers || self.lines || self.layout != Layout::default();
        let own = own || kafka || postgres;
        own.then_some(Proxied { kafka, postgres })
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, service: Service, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((service, name, value.into()));
        self
    }
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
    /// Unique: part of the names of its databases, topics and consumer groups.
    pub name: String,
    /// What its customers were told.
    pub history: History,
    databases: Databases,
    lines: Option<Lines>,
    logs: PathBuf,
    customer: Customer,
    closed: bool,
}

impl Shop {
    /// Opens a shop and waits until all its services are ready.
    pub async fn open(options: Options) -> Result<Self> {
        let mut shop = Self::prepare(options).await?;
        // Nobody ordered in a shop that did not open, or whose opening was given up: there are no
        // books to check.
        shop.closed = true;
        let started = tokio::try_join!(
            shop.payments.start(),
            shop.barista.start(),
            shop.reception.start()
        );
        shop.closed = started.is_err();
        started.map(|_| shop)
    }

    /// Says whether somebody has to check its books: not before a customer can have come.
    pub(crate) fn owes_books(&mut self, owes: bool) {
        self.closed = !owes;
    }

    /// The same without its services: they are started by the test.
    pub async fn prepare(options: Options) -> Result<Self> {
        let name = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
        let logs = options
            .logs
            .clone()
            .map_or_else(|| shared::logs(&name), Ok)?;
        let servers = match options.proxied() {
            Some(proxied) => shared::own(&logs, proxied, options.layout).await?,
            None => shared::shared().await?,
        };
        let topics =
            [proto::ORDERS_TOPIC, proto::TICKETS_TOPIC].map(|topic| wiring::topic(topic, &name));
        let (mut databases, ()) = tokio::try_join!(
            Databases::create(&servers, &name),
            topics::create(&servers, topics),
        )?;
        let lines = match options.lines {
            true => Some(Lines::before_databases(&mut databases).await?),
            false => None,
        };
        let wiring = Wiring {
            options: &options,
            servers: &servers,
            name: &name,
            logs: &logs,
        };
        let payments = wiring.payments(&databases)?;
        let barista = wiring.barista(&databases)?;
        let (payments_url, lines) = match lines {
            Some(lines) => lines.and_before_payments(&payments).await?,
            None => (payments.url(), None),
        };
        let reception = wiring.reception(&databases, payments_url)?;
        let history = options.history.clone();
        Ok(Self {
            provider: Provider::new(payments.channel()?),
            customer: Customer::new(&reception.url(), history.clone())?,
            closed: false,
            reception,
            barista,
            payments,
            servers,
            name,
            databases,
            lines,
            logs,
            history,
        })
    }

    /// Places an order that must be acknowledged.
    pub async fn place(&self, order: PlaceOrderRequest) -> Order {
        self.try_place(order)
            .await
            .unwrap_or_else(|status| panic!("not acknowledged: {status:?}"))
    }

    /// Places an order.
    pub async fn try_place(&self, order: PlaceOrderRequest) -> Result<Order, Status> {
        self.customer.place(order).await
    }

    /// A customer with a connection of their own. The books know what it was told.
    pub fn customer(&self) -> Customer {
        Customer::new(&self.reception.url(), self.history.clone()).expect("the URL is our own")
    }

    /// The order as it is now.
    pub async fn get(&self, order_id: &str) -> Result<Order, Status> {
        let by = Some(By::OrderId(order_id.to_owned()));
        let answer = self
            .reception_client()
            .get_order(GetOrderRequest { by })
            .await?
            .into_inner();
        answer
            .order
            .ok_or_else(|| Status::internal("the answer holds no order"))
    }

    /// Waits until the order is in this state.
    pub async fn until(&self, order: &Order, state: OrderState) -> Order {
        let what = format!("order {} to be {}", order.order_id, state.as_str_name());
        eventually(&what, async || match self.get(&order.order_id).await {
            Ok(order) if order.state() == state => Ok(order),
            other => Err(other),
        })
        .await
    }

    /// Waits until the order is READY.
    pub async fn until_ready(&self, order: &Order) -> Order {
        self.until(order, OrderState::Ready).await
    }

    /// Compares the three databases with each other and with what customers were told.
    pub async fn books(&self, settled: bool) -> Result<books::Books> {
        books::check(
            &self.databases.ledgers(),
            &self.history.acknowledged(),
            settled,
        )
        .await
    }

    /// A client of `ReceptionService`.
    pub fn reception_client(&self) -> ReceptionServiceClient<Channel> {
        ReceptionServiceClient::new(self.customer.channel())
    }

    /// A client of `BaristaService`.
    pub fn barista_client(&self) -> BaristaServiceClient<Channel> {
        BaristaServiceClient::new(self.barista.channel().expect("the URL is our own"))
    }

    /// A client of `PaymentsService`.
    pub fn payments_client(&self) -> PaymentsServiceClient<Channel> {
        PaymentsServiceClient::new(self.provider.channel())
    }

    /// A client of `PaymentsAdminService`.
    pub fn payments_admin_client(&self) -> PaymentsAdminServiceClient<Channel> {
        PaymentsAdminServiceClient::new(self.provider.channel())
    }

    /// A client of reception's `CircuitsService`.
    pub fn circuits_client(&self) -> CircuitsServiceClient<Channel> {
        CircuitsServiceClient::new(self.customer.channel())
    }

    /// The test's own connections to reception's database.
    pub fn reception_pool(&self) -> PgPool {
        self.databases.reception.pool.clone()
    }

    /// The test's own connections to the barista's database.
    pub fn barista_pool(&self) -> PgPool {
        self.databases.barista.pool.clone()
    }

    /// The test's own connections to the provider's database.
    pub fn payments_pool(&self) -> PgPool {
        self.databases.payments.pool.clone()
    }

    /// How reception connects to its database.
    pub fn reception_url(&self) -> &str {
        &self.databases.reception.url
    }

    /// The same of any service.
    pub fn database_url(&self, service: Service) -> &str {
        &self.databases.of(service).url
    }

    /// The topic on which reception tells of orders.
    pub fn orders_topic(&self) -> String {
        wiring::topic(proto::ORDERS_TOPIC, &self.name)
    }

    /// The topic on which the barista tells of tickets.
    pub fn tickets_topic(&self) -> String {
        wiring::topic(proto::TICKETS_TOPIC, &self.name)
    }

    /// The line between two of its parts.
    ///
    /// # Panics
    /// There are no proxies on them.
    pub fn line(&self, line: Line) -> &Proxy {
        let lines = self.lines.as_ref();
        lines.expect("the shop was opened with `lines`").proxy(line)
    }

    /// Its three databases, for whoever reads the books.
    pub fn ledgers(&self) -> books::Ledgers {
        self.databases.ledgers()
    }

    /// One of its services.
    pub fn service(&self, service: Service) -> &Hosted {
        match service {
            Service::Payments => &self.payments,
            Service::Barista => &self.barista,
            Service::Reception => &self.reception,
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // A test that fails has more to say than this.
        assert!(
            self.closed || thread::panicking(),
            "the shop was not closed, so nobody checked its books: call shop.close().await"
        );
    }
}
