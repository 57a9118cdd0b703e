//! How a shop is opened for a drill: processes and servers of its own, and who works there.

use std::path::Path;

use super::{Settings, clocks, exports::Exports};
use crate::{
    harness::{self, Hosted, Shop},
    history::History,
    services::Service,
};
use anyhow::Result;

/// More than the four of a new shop, so that making drinks is not what everything waits for.
const BARISTAS: i32 = 12;
/// Short enough for twelve, long enough that somebody has a drink in hand when it breaks.
const BREW_SCALE: &str = "0.005";

/// What is opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    options: harness::Options,
    receptions: usize,
    baristas: usize,
    /// Whose clocks can be set.
    clocks: Vec<Service>,
    /// Whether it can be had on this machine; the error says why not.
    needs: fn() -> Result<()>,
    /// Kafka keeps what it was given, so that the topics are a witness.
    pub(super) log_is_kept: bool,
}

impl Default for Opening {
    fn default() -> Self {
        let options = harness::Options {
            own_servers: true,
            processes: true,
            ..harness::Options::default()
        };
        Self {
            options: options.with(Service::Barista, "BREW_SCALE", BREW_SCALE),
            receptions: 1,
            baristas: 1,
            clocks: Vec::new(),
            needs: || Ok(()),
            log_is_kept: true,
        }
    }
}

impl Opening {
    /// With one more setting of a service, by the name of its environment variable.
    pub(crate) fn with(mut self, service: Service, name: &'static str, value: &str) -> Self {
        self.options = self.options.with(service, name, value);
        self
    }

    /// With so many instances of reception, among which customers choose.
    pub(crate) fn receptions(mut self, receptions: usize) -> Self {
        self.receptions = receptions;
        self
    }

    /// With so many instances of the barista's service.
    pub(crate) fn baristas(mut self, baristas: usize) -> Self {
        self.baristas = baristas;
        self
    }

    /// With a proxy before Kafka.
    pub(crate) fn kafka_proxy(mut self) -> Self {
        self.options.kafka_proxy = true;
        self
    }

    /// With a proxy before Kafka that only this service goes through.
    pub(crate) fn kafka_proxy_before(mut self, service: Service) -> Self {
        self.options.kafka_proxy_before = Some(service);
        self.kafka_proxy()
    }

    /// With a Kafka of so many nodes.
    pub(crate) fn kafka_nodes(mut self, nodes: usize) -> Self {
        self.options.layout.kafka_nodes = nodes;
        self
    }

    /// With a Postgres whose data lie on a disk of so many megabytes.
    pub(crate) fn postgres_disk(mut self, megabytes: u32) -> Self {
        self.options.layout.postgres_disk = Some(megabytes);
        self
    }

    /// With a proxy on each line: to payments, and from each service to its database.
    pub(crate) fn lines(mut self) -> Self {
        self.options.lines = true;
        self
    }

    /// Kafka loses messages in this drill: the topics bear no witness.
    pub(crate) fn log_is_lost(mut self) -> Self {
        self.log_is_kept = false;
        self
    }

    /// With a clock for a service that can be set.
    pub(crate) fn clock_of(mut self, service: Service) -> Self {
        self.clocks.push(service);
        self
    }

    /// With something that not every machine has.
    pub(crate) fn needs(mut self, needs: fn() -> Result<()>) -> Self {
        self.needs = needs;
        self
    }

    /// An error if it cannot be had on this machine.
    pub(super) fn possible(&self, settings: &Settings) -> Result<()> {
        if !self.clocks.is_empty() {
            clocks::library(settings)?;
        }
        (self.needs)()
    }

    /// Opens it. `exports` is where the services send what they measure.
    pub(super) async fn open(
        mut self,
        history: History,
        logs: &Path,
        exports: &Exports,
        settings: &Settings,
    ) -> Result<(Shop, Vec<(Service, Hosted)>)> {
        for service in Service::ALL {
            for (name, value) in exports.settings() {
                self.options = self.options.with(service, name, value);
            }
        }
        for service in self.clocks {
            for (name, value) in clocks::settings(service, logs, settings)? {
                self.options = self.options.with(service, name, value);
            }
        }
        self.options.logs = Some(logs.to_owned());
        self.options.history = history;
        let mut shop = Shop::open(self.options).await?;
        // Ctrl-C drops it at any await below, before anybody has come.
        shop.owes_books(false);
        let hired = crate::load::rows::hire(&shop.barista_pool(), BARISTAS).await;
        let more = [
            (Service::Reception, self.receptions),
            (Service::Barista, self.baristas),
        ];
        let others = match hired {
            Ok(()) => others(&shop, &more).await,
            Err(error) => Err(error),
        };
        match others {
            Ok(others) => {
                shop.owes_books(true);
                Ok((shop, others))
            }
            Err(error) => {
                shop.abandon().await?;
                Err(error)
            }
        }
    }
}

/// Starts what is wanted beyond the first of each.
async fn others(shop: &Shop, wanted: &[(Service, usize)]) -> Result<Vec<(Service, Hosted)>> {
    let mut others = Vec::new();
    for (service, count) in wanted {
        for _ in 1..*count {
            let other = shop.service(*service).second()?;
            other.start().await?;
            others.push((*service, other));
        }
    }
    Ok(others)
}
