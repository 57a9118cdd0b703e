//! Each service's own database.

use anyhow::{Context as _, Result, ensure};
use sqlx::{PgPool, postgres::PgPoolOptions};
use url::Url;

use crate::{
    books::Ledgers,
    postgres::{copy_database, create_database, drop_database, replace_database},
    servers::Servers,
    services::Service,
};

/// More than a test needs at a time.
const CONNECTIONS: u32 = 4;

/// The databases of one shop.
pub(super) struct Databases {
    pub(super) reception: Database,
    pub(super) barista: Database,
    pub(super) payments: Database,
}

/// One database; its role has the same name.
pub(super) struct Database {
    name: String,
    /// How the service connects: through the proxy, if there is one.
    pub(super) url: String,
    /// The test's own connections.
    pub(super) pool: PgPool,
}

impl Databases {
    pub(super) async fn create(servers: &Servers, shop: &str) -> Result<Self> {
        let (reception, barista, payments) = tokio::try_join!(
            Database::create(servers, Service::Reception, shop),
            Database::create(servers, Service::Barista, shop),
            Database::create(servers, Service::Payments, shop),
        )?;
        Ok(Self {
            reception,
            barista,
            payments,
        })
    }

    pub(super) fn of(&self, service: Service) -> &Database {
        match service {
            Service::Reception => &self.reception,
            Service::Barista => &self.barista,
            Service::Payments => &self.payments,
        }
    }

    pub(super) fn of_mut(&mut self, service: Service) -> &mut Database {
        match service {
            Service::Reception => &mut self.reception,
            Service::Barista => &mut self.barista,
            Service::Payments => &mut self.payments,
        }
    }

    pub(super) fn ledgers(&self) -> Ledgers {
        Ledgers {
            reception: self.reception.pool.clone(),
            barista: self.barista.pool.clone(),
            payments: self.payments.pool.clone(),
        }
    }

    pub(super) async fn drop(&self, servers: &Servers) -> Result<()> {
        let databases = [&self.reception, &self.barista, &self.payments];
        futures::future::try_join_all(databases.map(|database| database.drop(servers))).await?;
        Ok(())
    }
}

impl Database {
    async fn create(servers: &Servers, service: Service, shop: &str) -> Result<Self> {
        let name = format!("{}_{shop}", service.name());
        let direct = create_database(servers.postgres_admin_url(), &name, &name).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy(&direct)?;
        let url = direct;
        let mut database = Self { name, url, pool };
        if let Some(port) = servers.postgres_port() {
            database.reach_at(port)?;
        }
        Ok(database)
    }

    /// Where the service connects to: the port of a proxy.
    pub(super) fn reach_at(&mut self, port: u16) -> Result<()> {
        let mut url = Url::parse(&self.url)?;
        ensure!(url.set_port(Some(port)).is_ok(), "the URL has no host");
        self.url = url.into();
        Ok(())
    }

    /// The port that the service connects to.
    pub(super) fn port(&self) -> Result<u16> {
        let url = Url::parse(&self.url)?;
        url.port().context("the URL has no port")
    }

    /// Copies it, to be restored. There is one copy at a time.
    pub(super) async fn copy(&self, servers: &Servers) -> Result<()> {
        let admin = servers.postgres_admin_url();
        copy_database(admin, &self.name, &self.name_of_copy(), &self.name).await
    }

    /// Puts the copy in its place.
    pub(super) async fn restore(&self, servers: &Servers) -> Result<()> {
        let admin = servers.postgres_admin_url();
        replace_database(admin, &self.name, &self.name_of_copy()).await
    }

    fn name_of_copy(&self) -> String {
        format!("{}_copy", self.name)
    }

    async fn drop(&self, servers: &Servers) -> Result<()> {
        // Not `pool.close()`: it waits for the connections that a test still holds.
        drop_database(servers.postgres_admin_url(), &self.name, &self.name).await
    }
}
