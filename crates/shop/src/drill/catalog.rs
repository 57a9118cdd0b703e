//! The drills. Each is a file: its doc comment is the hypothesis, its acts are the proof.

use super::script::Drill;

/// The barista is killed, again and again.
mod barista_kill;
/// The barista hangs, and wakes.
mod barista_pause;
/// The barista's database is an old copy.
mod barista_restored;
/// Kafka comes and goes.
mod broker_bounced;
/// Kafka is killed.
mod broker_kill;
/// One of three nodes of Kafka is killed.
mod broker_node_lost;
/// Two of three nodes of Kafka are killed.
mod broker_nodes_lost;
/// Kafka hangs.
mod broker_pause;
/// Kafka stops and comes back.
mod broker_stop;
/// Nobody reaches Kafka, and nobody is told so.
mod broker_unreachable;
/// The barista alone does not reach Kafka.
mod broker_unreachable_barista;
/// Reception alone does not reach Kafka.
mod broker_unreachable_reception;
/// Kafka forgets everything.
mod broker_wiped;
/// Clocks are set.
mod clock_jump;
/// Nobody collects traces.
mod collector_gone;
/// Transactions commit in another sequence than they wrote.
mod commit_race;
/// Connections to databases are cut at COMMIT.
mod database_cut;
/// The barista's database hangs, and no other.
mod database_silent_barista;
/// The provider's database hangs, and no other.
mod database_silent_payments;
/// Reception's database hangs, and no other.
mod database_silent_reception;
/// Every event comes twice.
mod duplicate_delivery;
/// Postgres has no room.
mod full_disk;
/// The barista dies with messages in hand.
mod inbox_kill;
/// Kafka is away, and an outbox grows.
mod long_outage;
/// Everything at random.
mod mayhem;
/// Five times the customers.
mod overload;
/// The time to pay runs out unheard.
mod payment_window;
/// The provider is away.
mod payments_down;
/// The provider fails and goes well in turn.
mod payments_flapping;
/// The provider is killed, again and again.
mod payments_kill;
/// The provider hangs.
mod payments_pause;
/// The provider charges and does not say so.
mod payments_reply_lost;
/// The provider is out of reach, and nobody is told so.
mod payments_silent;
/// The provider is too slow.
mod payments_slow;
/// Messages that nobody can handle.
mod poison;
/// Postgres is killed.
mod postgres_kill;
/// Postgres hangs.
mod postgres_pause;
/// Postgres stops and comes back.
mod postgres_stop;
/// Instances come and go.
mod rebalance_storm;
/// Reception is killed, again and again.
mod reception_kill;
/// A reception hangs, and wakes.
mod reception_pause;
/// Reception's database is an old copy.
mod reception_restored;
/// Money goes back, and nobody says so.
mod refund_reply_lost;
/// Reception dies with events in hand.
mod relay_kill;
/// Every event is sent twice.
mod relay_replay;
/// Every instance restarts in turn.
mod rolling_restart;
/// Every line is slow.
mod slow_network;
/// A barista wakes after its drinks were taken over.
mod zombie_barista;
/// A relay wakes after its parts were taken over.
mod zombie_relay;

/// All of them, in the sequence in which `shop drill all` runs them.
pub(super) const DRILLS: &[Drill] = &[
    broker_stop::DRILL,
    broker_kill::DRILL,
    broker_pause::DRILL,
    broker_bounced::DRILL,
    broker_unreachable::DRILL,
    broker_unreachable_reception::DRILL,
    broker_unreachable_barista::DRILL,
    broker_node_lost::DRILL,
    broker_nodes_lost::DRILL,
    long_outage::DRILL,
    broker_wiped::DRILL,
    postgres_stop::DRILL,
    postgres_kill::DRILL,
    postgres_pause::DRILL,
    database_silent_reception::DRILL,
    database_silent_barista::DRILL,
    database_silent_payments::DRILL,
    database_cut::DRILL,
    full_disk::DRILL,
    reception_restored::DRILL,
    barista_restored::DRILL,
    payments_down::DRILL,
    payments_slow::DRILL,
    payments_flapping::DRILL,
    payments_reply_lost::DRILL,
    payments_kill::DRILL,
    payments_pause::DRILL,
    payments_silent::DRILL,
    reception_kill::DRILL,
    reception_pause::DRILL,
    barista_kill::DRILL,
    barista_pause::DRILL,
    rolling_restart::DRILL,
    rebalance_storm::DRILL,
    duplicate_delivery::DRILL,
    relay_kill::DRILL,
    commit_race::DRILL,
    inbox_kill::DRILL,
    zombie_relay::DRILL,
    zombie_barista::DRILL,
    payment_window::DRILL,
    refund_reply_lost::DRILL,
    relay_replay::DRILL,
    poison::DRILL,
    slow_network::DRILL,
    overload::DRILL,
    clock_jump::DRILL,
    collector_gone::DRILL,
    mayhem::DRILL,
];

/// Those that CI runs: a part of the shop each, and none that a machine may lack.
pub(super) const SMOKE: [&Drill; 4] = [
    &broker_kill::DRILL,
    &postgres_stop::DRILL,
    &payments_reply_lost::DRILL,
    &reception_kill::DRILL,
];

/// What every drill needs.
mod prelude {
    pub(super) use std::time::Duration;

    pub(super) use anyhow::Result;
    pub(super) use futures::FutureExt as _;
    pub(super) use proto::payments::v1::{BehaviorKind, BehaviorRule};

    pub(super) use crate::{
        drill::{
            opening::Opening,
            scene::{Calls, Scene, loses_replies},
            script::Drill,
        },
        harness::{Line, UNSENT},
        services::Service,
    };

    /// Counts the events of an outbox that are published.
    pub(super) const SENT: &str = "select count(*) from outbox o join outbox_parts p using (part) \
        where (o.xid, o.seq) <= (p.cursor_xid, p.cursor_seq)";
    /// The same of those that were caused since the last fault began.
    pub(super) const SENT_SINCE: &str = "select count(*) from outbox o \
        join outbox_parts p using (part) \
        where o.create_time > $1 and (o.xid, o.seq) <= (p.cursor_xid, p.cursor_seq)";
}
