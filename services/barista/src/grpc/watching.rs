//! One `WatchTickets` stream.
//!
//! It goes through the outbox, which has one sequence for all instances, and sends a ticket as it is
//! when it reads wherever the outbox names its current revision: the revisions before it are skipped,
//! and none is sent twice. What is read ahead is bounded, and no more is read until the watcher has
//! room for what was: a slow one falls behind, and is told so when what it missed is not kept any
//! more.

use super::message;
use crate::{announce::timestamp, store::watched};
use chrono::Utc;
use futures::{Stream, stream};
use lifecycle::postgres::{acquire, bounded};
use messaging::follow::{self, Place, Step};
use proto::barista::v1::{Heartbeat, WatchTicketsResponse, watch_tickets_response::Update};
use rpc::{
    admission::Admitted,
    page,
    status::{self, Reason, Violations},
    turns::{Turn, Turns},
};
use sqlx::{PgConnection, PgPool};
use std::{collections::VecDeque, time::Duration};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tonic::{Code, Status};

/// Between two looks of one watcher: there may be many, and all are woken at once.
const PAUSE: Duration = Duration::from_millis(50);
/// What is read ahead.
const BATCH: i64 = 100;
/// Canonical text of the stream, for its tokens.
const TOKENS: &str = "WatchTickets";

/// What watchers read, and from where.
#[derive(Clone)]
pub struct Source {
    pub pool: PgPool,
    /// All watchers are woken at once, and whoever brews needs connections, too.
    pub turns: Turns,
    /// How long the outbox keeps what was sent.
    pub retention: Duration,
    /// A watcher hears something at least this often.
    pub heartbeat: Duration,
}

/// What one watcher has seen.
pub struct Watch {
    source: Source,
    /// Marked as changed whenever there may be more to read.
    changes: watch::Receiver<()>,
    place: Place,
    /// Read, and not taken yet.
    ready: VecDeque<WatchTicketsResponse>,
    _inside: Admitted,
}

impl Watch {
    /// Begins after a token, or at present.
    pub async fn begin(
        source: Source,
        changes: watch::Receiver<()>,
        token: &str,
        inside: Admitted,
    ) -> Result<Self, Status> {
        let after = place(token)?;
        let turn = source.turns.first().await?;
        let present = async { follow::present(&mut *acquire(&source.pool).await?).await };
        let present = bounded(present).await.map_err(store)?;
        drop(turn);
        let place = after.unwrap_or(present);
        source.keeps(&place, &present)?;
        Ok(Self {
            source,
            changes,
            place,
            ready: VecDeque::from([heartbeat(place)]),
            _inside: inside,
        })
    }

    /// The updates, read when the watcher asks for the next one.
    pub fn updates(self) -> impl Stream<Item = Result<WatchTicketsResponse, Status>> {
        stream::try_unfold(self, |mut watch| async move {
            let update = watch.next().await?;
            Ok(Some((update, watch)))
        })
    }

    async fn next(&mut self) -> Result<WatchTicketsResponse, Status> {
        let quiet = Instant::now() + self.source.heartbeat;
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            // Before reading: a change after that wakes us.
            self.changes.mark_unchanged();
            let Some(turn) = self.source.turns.by(quiet).await else {
                return Ok(heartbeat(self.place));
            };
            if self.read(turn).await? {
                continue;
            }
            // The sender lives as long as the service.
            if time::timeout_at(quiet, self.changes.changed())
                .await
                .is_err()
            {
                return Ok(heartbeat(self.place));
            }
            time::sleep(PAUSE).await;
        }
    }

    /// Whether there was anything to be read.
    async fn read(&mut self, _turn: Turn) -> Result<bool, Status> {
        let read = async {
            let mut conn = acquire(&self.source.pool).await?;
            // First: nothing that is committed after this lies below it.
            let present = follow::present(&mut conn).await?;
            let steps = follow::after(&mut conn, self.place, BATCH).await?;
            Ok((tickets(&mut conn, &steps).await?, steps, present))
        };
        let (tickets, steps, present) = bounded(read).await.map_err(store)?;
        self.source.keeps(&self.place, &present)?;
        self.place = match steps.last() {
            Some(last) => last.place,
            None => self.place.as_of(&present),
        };
        self.ready.extend(tickets);
        Ok(!steps.is_empty())
    }
}

impl Source {
    /// Whether all that follows a place is there, and will be: also in a database that was replaced
    /// by an older copy under an open stream.
    fn keeps(&self, place: &Place, present: &Place) -> Result<(), Status> {
        let is_kept = place.is_before(present) && place.is_within(self.retention, present);
        is_kept.then_some(()).ok_or_else(expired)
    }
}

/// The tickets whose current revision is among the steps.
async fn tickets(
    conn: &mut PgConnection,
    steps: &[Step],
) -> sqlx::Result<Vec<WatchTicketsResponse>> {
    let ids: Vec<_> = steps.iter().map(|step| step.order_id).collect();
    let drinks = watched::tickets(conn, &ids).await?;
    let tickets = message::by_order(&drinks);
    let current = steps.iter().filter_map(|step| {
        let ticket = tickets.get(&step.order_id)?;
        // A later revision has a step of its own, here or in the next batch.
        (ticket.revision == step.revision)
            .then(|| update(Update::Ticket(ticket.clone()), step.place))
    });
    Ok(current.collect())
}

fn place(token: &str) -> Result<Option<Place>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut violations = Violations::new();
    let place = page::decode(TOKENS, token).and_then(|place| place.parse().ok());
    if place.is_none() {
        violations.add("resume_token", "must be one that WatchTickets gave out");
    }
    violations.into_result()?;
    Ok(place)
}

fn heartbeat(place: Place) -> WatchTicketsResponse {
    let time = Some(timestamp(Utc::now()));
    update(Update::Heartbeat(Heartbeat { time }), place)
}

fn update(update: Update, place: Place) -> WatchTicketsResponse {
    WatchTicketsResponse {
        update: Some(update),
        resume_token: page::encode(TOKENS, &place.to_string()),
    }
}

/// What follows is not kept any more, or never was here.
fn expired() -> Status {
    let message = "what follows is not kept any more: list the tickets, and watch anew";
    status::error(Code::OutOfRange, Reason::ResumeTokenExpired, message, &[])
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn store(error: sqlx::Error) -> Status {
    status::from_sqlx(&error)
}
