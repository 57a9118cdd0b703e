//! What is taken away from a shop for good: messages, and what a database knew.
//!
//! For all of Kafka there is [`Servers::wipe_kafka`](crate::servers::Servers::wipe_kafka).

use anyhow::{Result, bail};

use super::{Shop, topics, wiring};
use crate::services::Service;

impl Shop {
    /// Copies the database of a service that does not run, to be restored before the shop closes.
    pub async fn copy_database(&self, service: Service) {
        let copied = self.databases.of(service).copy(&self.servers).await;
        copied.unwrap_or_else(|error| panic!("the database cannot be copied: {error:#}"));
    }

    /// Puts the copy in the place of the database: whatever was written since is gone.
    pub async fn restore_database(&self, service: Service) {
        let restored = self.databases.of(service).restore(&self.servers).await;
        restored.unwrap_or_else(|error| panic!("the database cannot be restored: {error:#}"));
    }

    /// Sets the consumer group of a service that does not run back to the beginning of its topic.
    pub async fn set_back(&self, service: Service) -> Result<()> {
        let topic = match service {
            Service::Reception => self.tickets_topic(),
            Service::Barista => self.orders_topic(),
            Service::Payments => bail!("payments hears no Kafka"),
        };
        let group = wiring::group(service, &self.name);
        topics::set_back(&self.servers, &group, topic).await
    }

    /// Deletes every message that is in a topic now, as its retention would in time.
    pub async fn expire_messages(&self, topic: &str) {
        let expired = topics::expire(&self.servers, topic).await;
        expired.unwrap_or_else(|error| panic!("messages cannot be deleted: {error:#}"));
    }
}
