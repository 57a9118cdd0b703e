//! What is sent and what is remembered long enough leaves, while traffic runs; nothing else does.
//!
//! The days pass by argument: housekeeping is told what time it is.

/// How days come and leave.
mod leave;
/// What the inbox remembers, and what it cannot.
mod memory;

use crate::post::Post;
use chrono::{DateTime, TimeDelta, Utc};
use lifecycle::Stop;
use messaging::housekeeping::{Housekeeping, Pass};
use shop::harness::Options;

/// A post that has been in use for some days, with a partition for each.
async fn opened(ago: TimeDelta) -> (Post, Housekeeping) {
    let post = Post::open(Options::default()).await;
    post.execute("drop table outbox_first; drop table inbox_first")
        .await;
    let housekeeping = post.housekeeping();
    sweep(&housekeeping, Utc::now() - ago).await;
    housekeeping.open(&Stop::new()).await;
    (post, housekeeping)
}

async fn sweep(housekeeping: &Housekeeping, now: DateTime<Utc>) -> Pass {
    housekeeping.pass(now).await.expect("nobody is in the way")
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}
