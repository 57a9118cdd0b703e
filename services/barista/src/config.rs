//! The sum of the components' options. `barista --help` is the manual.

use crate::brewing;
use clap::Parser;

/// Makes the drinks of paid orders: hears of orders over Kafka, and tells of tickets.
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Config {
    /// The topic to hear of orders on
    #[arg(long, env, default_value = proto::ORDERS_TOPIC, value_name = "TOPIC")]
    pub orders_topic: String,
    /// The topic to tell of tickets on
    #[arg(long, env, default_value = proto::TICKETS_TOPIC, value_name = "TOPIC")]
    pub tickets_topic: String,
    /// The Kafka consumer group that all instances share
    #[arg(long, env, default_value = "barista", value_name = "GROUP")]
    pub consumer_group: String,
    /// The workforce.
    #[command(flatten)]
    pub brewing: brewing::Options,
    /// Where calls come in.
    #[command(flatten)]
    pub server: rpc::server::Options<50052>,
    /// Those who watch.
    #[command(flatten)]
    pub streams: rpc::stream::Options,
    /// The tickets.
    #[command(flatten)]
    pub postgres: lifecycle::postgres::Options,
    /// The broker.
    #[command(flatten)]
    pub kafka: messaging::kafka::Options,
    /// How events leave.
    #[command(flatten)]
    pub relay: messaging::relay::Options,
    /// How events arrive.
    #[command(flatten)]
    pub inbox: messaging::inbox::Options,
    /// How long rows are kept.
    #[command(flatten)]
    pub housekeeping: messaging::housekeeping::Options,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Options,
}
