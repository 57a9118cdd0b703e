//! The sum of the components' options. `reception --help` is the manual.

use clap::Parser;
use std::time::Duration;

/// Takes orders over gRPC, charges them, and tells the barista over Kafka.
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Config {
    /// Where orders are charged.
    #[arg(long, env = "PAYMENTS_URL", default_value = "http://127.0.0.1:50053")]
    pub payments_url: String,
    /// How long one try to charge may take. When it is over the order is answered as
    /// AWAITING_PAYMENT, and settled later with the same key.
    #[arg(long, env = "CHARGE_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub charge_timeout: Duration,
    /// The topic to tell of orders on.
    #[arg(long, env = "ORDERS_TOPIC", default_value = proto::ORDERS_TOPIC)]
    pub orders_topic: String,
    /// The topic to hear of tickets on.
    #[arg(long, env = "TICKETS_TOPIC", default_value = proto::TICKETS_TOPIC)]
    pub tickets_topic: String,
    /// The Kafka consumer group that all instances of reception share.
    #[arg(long, env = "CONSUMER_GROUP", default_value = "reception")]
    pub consumer_group: String,
    #[command(flatten)]
    pub window: crate::payment_window::Options,
    #[command(flatten)]
    pub reconcile: crate::reconcile::Options,
    #[command(flatten)]
    pub server: rpc::server::Options<50051>,
    #[command(flatten)]
    pub postgres: lifecycle::postgres::Options,
    #[command(flatten)]
    pub kafka: messaging::kafka::Options,
    #[command(flatten)]
    pub relay: messaging::relay::Options,
    #[command(flatten)]
    pub inbox: messaging::inbox::Options,
    #[command(flatten)]
    pub housekeeping: messaging::housekeeping::Options,
    #[command(flatten)]
    pub telemetry: telemetry::Options,
}
