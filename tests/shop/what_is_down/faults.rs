//! How each thing is broken, and mended.

use crate::{circuits, privacy::log_of};
use proto::{
    operations::v1::{Circuit, CircuitState},
    payments::v1::{BehaviorKind, BehaviorRule, SetBehaviorRequest},
    reception::v1::{
        ListMenuItemsRequest, Order, OrderState, PlaceOrderRequest,
        reception_service_client::ReceptionServiceClient,
    },
};
use shop::{
    customers::latte,
    fault::Lost,
    harness::{Collector, Shop, eventually},
    services::Service,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::time::Duration;
use telemetry::semconv;
use tokio::{task::JoinSet, time::sleep};
use tonic::{Status, transport::Channel};

type Reception = ReceptionServiceClient<Channel>;

/// How many calls reception answers at a time.
pub const PLACES: i64 = 4;
/// More calls than any row makes.
const MANY: i64 = 1_000_000;
/// Longer than a try to charge may take.
const SLOW: Duration = Duration::from_secs(4);
/// Shorter, and longer than it takes to refuse a row's calls.
const BUSY: Duration = Duration::from_millis(1_800);
/// What the connection says that stores an order of the rows about COMMIT, and at last.
const COMMITTING: &[&str] = &["Postgres at COMMIT", "COMMIT"];
/// What a connection says that records a charge.
const RECORDING: &[&str] = &["OrderPaid"];

/// What is broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    KafkaKilled,
    /// SIGSTOP.
    KafkaStopped,
    /// SIGKILL.
    Killed(Service),
    /// SIGSTOP: connections stay, and nobody answers.
    Stopped(Service),
    /// Its connections to its database are ended, and it gets no others.
    DatabaseOf(Service),
    /// UNAVAILABLE to every charge.
    ProviderFails,
    /// Takes longer than reception waits.
    ProviderSlow,
    /// Fails and goes well in turn.
    ProviderFlaps,
    /// Charges, and does not say so.
    RepliesLost,
    /// Killed, and asked until nobody asks any more.
    CircuitOpen,
    /// The card is declined.
    ProviderDeclines,
    /// SIGKILL.
    PostgresKilled,
    /// Connections are reset, new ones refused.
    PostgresCut,
    /// Nothing is forwarded, nothing is closed.
    PostgresSilent,
    /// The answer to an order's COMMIT is lost, and all connections, for so long.
    CommitCutFor(Duration),
    /// The same for as long as anybody asks.
    CommitCut,
    /// The same, and the call has no `request_id`.
    CommitCutWithoutId,
    /// All connections are cut when the outcome of the charge is to be recorded.
    RecordCut,
    /// As many calls as are answered at a time wait for the provider.
    AllPlacesTaken,
    /// Its connections are reset, new ones refused.
    CollectorGone,
    /// Nothing is forwarded to it, nothing is closed.
    CollectorSilent,
}

/// A shop in which something is broken.
pub struct Scene {
    pub shop: Shop,
    collector: Collector,
    /// Takes what is measured, whatever becomes of the other.
    measured: Collector,
    inside: JoinSet<Result<Order, Status>>,
    /// As it was when it had opened.
    open: Option<Circuit>,
}

impl Scene {
    pub fn new(shop: Shop, collector: Collector, measured: Collector) -> Self {
        Self {
            shop,
            collector,
            measured,
            inside: JoinSet::new(),
            open: None,
        }
    }

    pub async fn break_it(&mut self, fault: Fault) {
        let (shop, servers) = (&self.shop, &self.shop.servers);
        match fault {
            Fault::KafkaKilled => servers.kafka.kill9().await.expect("it runs"),
            Fault::KafkaStopped => servers.kafka.pause().await.expect("it runs"),
            Fault::Killed(service) => shop.service(service).kill9().await.expect("it runs"),
            Fault::Stopped(service) => shop.service(service).pause().await.expect("it runs"),
            Fault::DatabaseOf(service) => self.close_database(service).await,
            Fault::ProviderFails => shop.provider.fail_next(MANY).await,
            Fault::ProviderSlow => shop.provider.delay_next(MANY, SLOW).await,
            Fault::ProviderFlaps => self.flap().await,
            Fault::RepliesLost => shop.provider.lose_next_replies(MANY).await,
            Fault::CircuitOpen => self.open_circuit().await,
            Fault::ProviderDeclines => shop.provider.decline_next(1).await,
            Fault::PostgresKilled => servers.postgres.kill9().await.expect("it runs"),
            Fault::PostgresCut => servers.postgres_proxy().cut(),
            Fault::PostgresSilent => servers.postgres_proxy().black_hole(),
            Fault::CommitCutFor(_) | Fault::CommitCut | Fault::CommitCutWithoutId => {
                servers.postgres_proxy().cut_at(COMMITTING, Lost::Answer);
            }
            Fault::RecordCut => servers.postgres_proxy().cut_at(RECORDING, Lost::Word),
            Fault::AllPlacesTaken => self.take_all_places().await,
            Fault::CollectorGone => self.collector.line.cut(),
            Fault::CollectorSilent => self.collector.line.black_hole(),
        }
    }

    /// Ends a fault that ends while somebody waits for an answer.
    pub async fn passes(&self, fault: Fault) {
        let Fault::CommitCutFor(time) = fault else {
            return;
        };
        let proxy = self.shop.servers.postgres_proxy();
        let broken = proxy.counts().broken;
        eventually("the line to be cut", async || match proxy.counts() {
            counts if counts.broken > broken => Ok(()),
            counts => Err(counts),
        })
        .await;
        sleep(time).await;
        proxy.heal();
    }

    pub async fn mend(&mut self, fault: Fault) {
        let (shop, servers) = (&self.shop, &self.shop.servers);
        match fault {
            Fault::KafkaKilled => servers.kafka.restart().await.expect("it starts again"),
            Fault::KafkaStopped => servers.kafka.resume().await.expect("it is stopped"),
            Fault::Killed(service) => shop
                .service(service)
                .start()
                .await
                .expect("it starts again"),
            Fault::Stopped(service) => shop.service(service).resume().await.expect("it is stopped"),
            Fault::DatabaseOf(service) => self.admit_to_database(service, true).await,
            Fault::ProviderFails
            | Fault::ProviderSlow
            | Fault::ProviderFlaps
            | Fault::RepliesLost
            | Fault::ProviderDeclines => shop.provider.recover().await,
            Fault::CircuitOpen => self.close_circuit().await,
            Fault::PostgresKilled => servers.postgres.restart().await.expect("it starts again"),
            Fault::PostgresCut
            | Fault::PostgresSilent
            | Fault::CommitCutFor(_)
            | Fault::CommitCut
            | Fault::CommitCutWithoutId
            | Fault::RecordCut => servers.postgres_proxy().heal(),
            Fault::AllPlacesTaken => self.leave().await,
            Fault::CollectorGone => self.spans_are_counted(1).await,
            Fault::CollectorSilent => self.spans_are_counted(2).await,
        }
    }

    /// Those that no collector got, and nobody waited for. Of each of so many faults there is one
    /// line when it begins and one when it is over.
    async fn spans_are_counted(&self, faults: usize) {
        let lines = |word| {
            let log = log_of(&self.shop, Service::Reception);
            String::from_utf8_lossy(&log).matches(word).count()
        };
        eventually("dropped spans to be counted", async || {
            match self.measured.last(semconv::metrics::SPANS_DROPPED.name) {
                Some(dropped) if dropped > 0.0 && lines("spans are dropped") == faults => Ok(()),
                other => Err(other),
            }
        })
        .await;
        self.collector.line.heal();
        eventually("spans to arrive again", async || {
            // Without a call there is no span.
            let asked = ListMenuItemsRequest::default();
            let listed = self.shop.reception_client().list_menu_items(asked).await;
            listed.expect("it is up");
            match lines("spans arrive at the collector again") {
                over if over == faults => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(lines("spans are dropped"), faults, "once each");
    }

    /// Places an order and states no deadline.
    pub async fn ask(&self, order: PlaceOrderRequest) -> Result<Order, Status> {
        place(self.shop.reception_client(), order).await
    }

    /// The orders of this customer.
    pub async fn order_ids(&self, name: &str) -> Vec<String> {
        let ids = "select order_id::text from orders where customer_name = $1";
        let ids = sqlx::query_scalar(ids).bind(name);
        let ids = ids.fetch_all(&self.shop.reception_pool()).await;
        ids.expect("the database is up")
    }

    /// Their states.
    pub async fn states(&self, name: &str) -> Vec<OrderState> {
        let states = "select 'ORDER_STATE_' || state from orders where customer_name = $1";
        let states = sqlx::query_scalar(states).bind(name);
        let states = states.fetch_all(&self.shop.reception_pool()).await;
        let states: Vec<String> = states.expect("the database is up");
        let states = states.iter().map(|state| OrderState::from_str_name(state));
        states
            .map(|state| state.expect("it has that name"))
            .collect()
    }

    /// How many charges the provider has made for them.
    pub async fn charges(&self, name: &str) -> usize {
        let charges = "select order_id from payments \
            where state = 'CHARGED' and order_id::text = any($1)";
        let charges = sqlx::query(charges).bind(self.order_ids(name).await);
        let charges = charges.fetch_all(&self.shop.payments_pool()).await;
        charges.expect("the database is up").len()
    }

    async fn flap(&self) {
        let rule = BehaviorRule {
            kind: BehaviorKind::Flap.into(),
            period: prost_types::Duration::try_from(Duration::from_millis(300)).ok(),
            ..Default::default()
        };
        let mut admin = self.shop.payments_admin_client();
        let rules = vec![rule];
        let told = admin.set_behavior(SetBehaviorRequest { rules }).await;
        told.expect("the rule is valid");
    }

    async fn open_circuit(&mut self) {
        self.shop.payments.kill9().await.expect("it runs");
        circuits::until_open(&self.shop).await;
        self.open = Some(circuits::circuit(&self.shop).await);
    }

    /// It was open all the time, and nobody asked.
    async fn close_circuit(&mut self) {
        let before = self.open.take().expect("it was opened");
        let after = circuits::circuit(&self.shop).await;
        assert_eq!(after.state(), CircuitState::Open);
        assert_eq!(after.since_time, before.since_time);
        assert_eq!(after.calls, before.calls, "somebody asked");
        self.shop.payments.start().await.expect("it starts again");
    }

    async fn take_all_places(&mut self) {
        self.shop.provider.delay_next(PLACES, BUSY).await;
        for _ in 0..PLACES {
            self.inside
                .spawn(place(self.shop.reception_client(), latte()));
        }
        eventually("all places to be taken", async || {
            match self.shop.provider.calls_left().await {
                0 => Ok(()),
                left => Err(left),
            }
        })
        .await;
    }

    /// Those inside were inside all the time, and are served.
    async fn leave(&mut self) {
        assert!(self.inside.try_join_next().is_none(), "somebody has left");
        while let Some(served) = self.inside.join_next().await {
            served.expect("it does not panic").expect("it was inside");
        }
    }

    async fn close_database(&self, service: Service) {
        self.admit_to_database(service, false).await;
        let end = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
            self.database(service)
        );
        self.execute(end).await;
    }

    async fn admit_to_database(&self, service: Service, admit: bool) {
        let database = self.database(service);
        self.execute(format!(
            "alter database {database} allow_connections {admit}"
        ))
        .await;
    }

    fn database(&self, service: Service) -> String {
        format!("{}_{}", service.name(), self.shop.name)
    }

    async fn execute(&self, statement: String) {
        let admin = self.shop.servers.postgres_admin_url();
        let mut admin = PgConnection::connect(admin).await.expect("Postgres is up");
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin);
        done.await.expect("it is SQL");
    }
}

async fn place(mut reception: Reception, order: PlaceOrderRequest) -> Result<Order, Status> {
    let order = reception.place_order(order).await?.into_inner().order;
    order.ok_or_else(|| Status::internal("the answer holds no order"))
}
