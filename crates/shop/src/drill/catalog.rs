//! The drills. Each is a file: its doc comment is the hypothesis, its acts are the proof.

use super::script::Drill;

/// Kafka stops and comes back.
mod broker_stop;

/// All of them, in the sequence in which `shop drill all` runs them.
pub(super) const DRILLS: &[Drill] = &[broker_stop::DRILL];

/// What every drill needs.
mod prelude {
    pub(super) use anyhow::Result;
    pub(super) use futures::FutureExt as _;

    pub(super) use crate::drill::{opening::Opening, scene::Scene, script::Drill};
}
