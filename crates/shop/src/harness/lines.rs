//! A proxy on each line between two parts of a shop, so that one of them can break alone.

use anyhow::Result;

use super::{Hosted, database::Databases};
use crate::{fault::Proxy, ports, services::Service};

/// The line between two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// From reception to payments.
    Payments,
    /// From a service to its database.
    Database(Service),
}

/// The proxies.
pub(super) struct Lines {
    payments: Option<Proxy>,
    /// In the sequence of [`Service::ALL`].
    databases: Vec<Proxy>,
}

impl Lines {
    /// Puts a proxy between each service and its database.
    pub(super) async fn before_databases(databases: &mut Databases) -> Result<Self> {
        let mut proxies = Vec::new();
        for service in Service::ALL {
            let database = databases.of_mut(service);
            let proxy = Proxy::open(ports::loopback(database.port()?)).await?;
            database.reach_at(proxy.address().port())?;
            proxies.push(proxy);
        }
        Ok(Self {
            payments: None,
            databases: proxies,
        })
    }

    /// Puts one before payments, too. Returns where reception finds it.
    pub(super) async fn and_before_payments(
        mut self,
        payments: &Hosted,
    ) -> Result<(String, Option<Self>)> {
        let proxy = Proxy::open(payments.address()).await?;
        let url = format!("http://{}", proxy.address());
        self.payments = Some(proxy);
        Ok((url, Some(self)))
    }

    pub(super) fn proxy(&self, line: Line) -> &Proxy {
        let proxy = match line {
            Line::Payments => self.payments.as_ref(),
            Line::Database(service) => {
                let at = Service::ALL.iter().position(|known| *known == service);
                at.and_then(|at| self.databases.get(at))
            }
        };
        proxy.expect(
            "`before_databases` opens one for each service, `and_before_payments` the other",
        )
    }
}
