//! The sum of the components' options. `reception --help` is the manual.

use clap::Parser;

/// Takes orders over gRPC, charges them, and tells the barista over Kafka.
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub payments: crate::payment::Options,
    /// The most PlaceOrder calls that are answered at a time. The next one is refused at once,
    /// so that these keep their latency. While charges time out, this over `CHARGE_TIMEOUT` is
    /// the rate at which orders are taken until the circuit opens.
    #[arg(long, env = "MAX_PLACING", default_value_t = 512,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_placing: u16,
    /// The most WatchOrder calls that are open at a time. The next one is refused at once. Each
    /// takes about 20 KiB of memory.
    #[arg(long, env = "MAX_WATCHING", default_value_t = 8192,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_watching: u16,
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
    pub streams: rpc::stream::Options,
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
