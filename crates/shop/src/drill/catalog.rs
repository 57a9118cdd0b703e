//! The drills. Each is a file: its doc comment is the hypothesis, its acts are the proof.

use super::script::Drill;

/// The barista is killed, again and again.
mod barista_kill;
/// Kafka is killed.
mod broker_kill;
/// Kafka hangs.
mod broker_pause;
/// Kafka stops and comes back.
mod broker_stop;
/// Nobody reaches Kafka, and nobody is told so.
mod broker_unreachable;
/// Kafka forgets everything.
mod broker_wiped;
/// Transactions commit in another sequence than they wrote.
mod commit_race;
/// Every event comes twice.
mod duplicate_delivery;
/// The barista dies with messages in hand.
mod inbox_kill;
/// The time to pay runs out unheard.
mod payment_window;
/// The provider is away.
mod payments_down;
/// The provider fails and goes well in turn.
mod payments_flapping;
/// The provider is killed, again and again.
mod payments_kill;
/// The provider charges and does not say so.
mod payments_reply_lost;
/// The provider is too slow.
mod payments_slow;
/// Postgres is killed.
mod postgres_kill;
/// Postgres hangs.
mod postgres_pause;
/// Postgres stops and comes back.
mod postgres_stop;
/// Reception is killed, again and again.
mod reception_kill;
/// Money goes back, and nobody says so.
mod refund_reply_lost;
/// Reception dies with events in hand.
mod relay_kill;
/// Every instance restarts in turn.
mod rolling_restart;
/// A barista wakes after its drinks were taken over.
mod zombie_barista;
/// A relay wakes after its parts were taken over.
mod zombie_relay;

/// All of them, in the sequence in which `shop drill all` runs them.
pub(super) const DRILLS: &[Drill] = &[
    broker_stop::DRILL,
    broker_kill::DRILL,
    broker_pause::DRILL,
    broker_unreachable::DRILL,
    broker_wiped::DRILL,
    postgres_stop::DRILL,
    postgres_kill::DRILL,
    postgres_pause::DRILL,
    payments_down::DRILL,
    payments_slow::DRILL,
    payments_flapping::DRILL,
    payments_reply_lost::DRILL,
    payments_kill::DRILL,
    reception_kill::DRILL,
    barista_kill::DRILL,
    rolling_restart::DRILL,
    duplicate_delivery::DRILL,
    relay_kill::DRILL,
    commit_race::DRILL,
    inbox_kill::DRILL,
    zombie_relay::DRILL,
    zombie_barista::DRILL,
    payment_window::DRILL,
    refund_reply_lost::DRILL,
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
            scene::{ANSWERED_WITHIN, Scene},
            script::Drill,
        },
        harness::Line,
        services::Service,
    };
}
