//! Who is told what at the start: addresses, databases, topics and groups of one shop.

use std::path::Path;

use anyhow::Result;

use super::{
    Hosted, Options,
    database::{Database, Databases},
};
use crate::{servers::Servers, services::Service};

/// Fewer than in production: each one costs every test a little.
pub(super) const PARTITIONS: i32 = 2;

/// What the services of one shop have in common.
pub(super) struct Wiring<'a> {
    pub(super) options: &'a Options,
    pub(super) servers: &'a Servers,
    pub(super) name: &'a str,
    pub(super) logs: &'a Path,
}

impl Wiring<'_> {
    pub(super) fn payments(&self, databases: &Databases) -> Result<Hosted> {
        self.hosted(Service::Payments, &databases.payments, Vec::new())
    }

    pub(super) fn barista(&self, databases: &Databases) -> Result<Hosted> {
        let messaging = self.messaging(Service::Barista);
        let settings = [messaging, vec![("BREW_SCALE", "0".to_owned())]].concat();
        self.hosted(Service::Barista, &databases.barista, settings)
    }

    pub(super) fn reception(&self, databases: &Databases, payments_url: String) -> Result<Hosted> {
        let messaging = self.messaging(Service::Reception);
        let settings = [messaging, vec![("PAYMENTS_URL", payments_url)]].concat();
        self.hosted(Service::Reception, &databases.reception, settings)
    }

    fn messaging(&self, service: Service) -> Vec<(&'static str, String)> {
        let before = self.options.kafka_proxy_before;
        let brokers = match before.is_none_or(|before| before == service) {
            true => self.servers.kafka_brokers(),
            false => self.servers.kafka_direct(),
        };
        let replicas = self.servers.kafka_nodes().count();
        vec![
            ("KAFKA_BROKERS", brokers.to_owned()),
            ("TOPIC_PARTITIONS", PARTITIONS.to_string()),
            ("TOPIC_REPLICATION", replicas.to_string()),
            ("ORDERS_TOPIC", topic(proto::ORDERS_TOPIC, self.name)),
            ("TICKETS_TOPIC", topic(proto::TICKETS_TOPIC, self.name)),
        ]
    }

    fn hosted(
        &self,
        service: Service,
        database: &Database,
        mut settings: Vec<(&'static str, String)>,
    ) -> Result<Hosted> {
        settings.push(("DATABASE_URL", database.url.clone()));
        if service != Service::Payments {
            settings.push(("CONSUMER_GROUP", group(service, self.name)));
        }
        for (_, name, value) in self
            .options
            .settings
            .iter()
            .filter(|(of, ..)| *of == service)
        {
            settings.retain(|(known, _)| known != name);
            settings.push((name, value.clone()));
        }
        // Dropped in a test that fails, a consumer waits for the runtime that it blocks, if the
        // proxy before Kafka runs on that.
        let Options {
            processes,
            kafka_proxy,
            lines,
            ..
        } = self.options;
        let children = *processes || *kafka_proxy || *lines;
        let logs = children.then(|| self.logs.to_owned());
        Hosted::new(service, settings, logs)
    }
}

/// A topic of one shop.
pub(super) fn topic(topic: &str, shop: &str) -> String {
    format!("{topic}.{shop}")
}

/// The consumer group of one shop's service.
pub(super) fn group(service: Service, shop: &str) -> String {
    format!("{}.{shop}", service.name())
}
