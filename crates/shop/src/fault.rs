//! A TCP proxy that breaks on command: the network between two parts of a shop.
//!
//! Problem: a process that is killed says so, because its kernel closes its connections. A network
//! that fails says nothing, or lies.
//! Guarantee: bytes pass unchanged and in order, also those that a fault has held back. At most one
//! chunk is held for a connection and direction; the rest waits with its sender. Nothing outlives the
//! [`Proxy`]. Its [`Counts`] tell whether a fault has bitten: one that nobody met proves nothing.
//! Not guaranteed: what TCP hides anyway, as single lost or swapped packets.
//!
//! ```text
//!  client ──▶ accept ─▶ refused while cut            ┌─▶ pump ─▶ server
//!                   └─▶ silent while a black hole ─▶ └◀─ pump ◀─
//! ```

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::ports;

/// One client, its server, and the bytes between them.
mod connection;
/// A cut that waits until a client has said something.
mod trap;

pub use trap::Lost;
use trap::Trap;

/// A proxy in front of one server. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    counters: Arc<Counters>,
    _serving: JoinSet<()>,
}

/// What has passed through a proxy, and what its faults have hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted and not refused.
    pub connections: u64,
    /// Connections that were reset, or refused by a cut.
    pub broken: u64,
    /// Connections that were closed in one direction.
    pub half_closed: u64,
    /// Chunks and new connections that met a black hole, and waited.
    pub held: u64,
    /// Chunks that were delayed or throttled.
    pub delayed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    /// Also the number of the next connection.
    connections: AtomicU64,
    broken: AtomicU64,
    half_closed: AtomicU64,
    held: AtomicU64,
    delayed: AtomicU64,
}

/// The state of the line. Connections have numbers, in the order in which they were accepted, so
/// that no connection can sleep through a fault that was healed at once.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    fault: Fault,
    /// Connections below are reset.
    reset_below: u64,
    /// Connections below hear nothing more from the server, and are told so.
    half_closed_below: u64,
    /// Connections below are silent for ever.
    stranded_below: u64,
    trap: Option<Trap>,
    /// How many bytes from clients still pass, if the line is cut after them.
    cut_after: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    Cut,
    BlackHole,
    Delay(Duration),
    /// Bytes a second, for each connection and direction.
    Throttle(u32),
}

impl Line {
    /// `next` is the number of the next connection.
    fn cut(&mut self, next: u64) {
        (self.fault, self.reset_below) = (Fault::Cut, next);
        (self.trap, self.cut_after) = (None, None);
    }

    fn resets(&self, number: u64) -> bool {
        self.fault == Fault::Cut || number < self.reset_below
    }

    fn is_silent(&self, number: u64) -> bool {
        self.fault == Fault::BlackHole || number < self.stranded_below
    }

    fn half_closes(&self, number: u64) -> bool {
        number < self.half_closed_below
    }

    /// How long so many bytes are held back.
    fn delay(&self, bytes: usize) -> Option<Duration> {
        match self.fault {
            Fault::Delay(delay) => Some(delay),
            Fault::Throttle(rate) => {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                Some(Duration::from_secs(1) * bytes / rate.max(1))
            }
            _ => None,
        }
    }
}

impl Proxy {
    /// A proxy before `upstream`, which need not run yet.
    pub async fn open(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(ports::loopback(ports::free()?)).await?;
        let address = listener.local_addr()?;
        let (line, counters) = (
            watch::Sender::new(Line::default()),
            Arc::<Counters>::default(),
        );
        let mut serving = JoinSet::new();
        serving.spawn(connection::accept(
            listener,
            upstream,
            line.clone(),
            counters.clone(),
        ));
        Ok(Self {
            address,
            line,
            counters,
            _serving: serving,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all connections now, and refuses new ones.
    pub fn cut(&self) {
        let next = self.counters.connections.load(Ordering::Relaxed);
        self.line.send_modify(|line| line.cut(next));
    }

    /// Resets all connections now; new ones pass.
    pub fn reset(&self) {
        let next = self.counters.connections.load(Ordering::Relaxed);
        self.line.send_modify(|line| line.reset_below = next);
    }

    /// Tells the clients of now that the server has nothing more to say, which is not so; what they
    /// say still reaches it. New connections pass.
    pub fn half_close(&self) {
        let next = self.counters.connections.load(Ordering::Relaxed);
        self.line.send_modify(|line| line.half_closed_below = next);
    }

    /// Cuts, as [`Proxy::cut`] does, when so many more bytes from clients have passed, on whatever
    /// connections: in the middle of a word, if that is where they end.
    pub fn cut_after(&self, bytes: usize) {
        self.line.send_modify(|line| line.cut_after = Some(bytes));
    }

    /// Cuts, as [`Proxy::cut`] does, at the moment at which a client has said these words on one
    /// connection, in this order and each in a chunk of its own.
    pub fn cut_at(&self, words: &'static [&'static str], lost: Lost) {
        let trap = Trap { words, lost };
        self.line.send_modify(|line| line.trap = Some(trap));
    }

    /// Forwards nothing any more, in neither direction, and closes nothing. New connections are
    /// accepted, and silent.
    pub fn black_hole(&self) {
        self.line.send_modify(|line| line.fault = Fault::BlackHole);
    }

    /// Makes the connections of now silent for ever; new ones pass. So it is after a router has
    /// forgotten its connections, or after a server has moved.
    pub fn strand(&self) {
        let next = self.counters.connections.load(Ordering::Relaxed);
        self.line.send_modify(|line| line.stranded_below = next);
    }

    /// Holds each chunk back for so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.line
            .send_modify(|line| line.fault = Fault::Delay(delay));
    }

    /// Lets so many bytes a second pass, for each connection and direction.
    pub fn throttle(&self, bytes_a_second: u32) {
        let throttle = Fault::Throttle(bytes_a_second);
        self.line.send_modify(|line| line.fault = throttle);
    }

    /// Ends the fault. What a black hole has held goes on; stranded connections stay silent.
    pub fn heal(&self) {
        self.line.send_modify(|line| line.fault = Fault::None);
    }

    /// What has passed, and what was hit.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.counters.connections),
            broken: read(&self.counters.broken),
            half_closed: read(&self.counters.half_closed),
            held: read(&self.counters.held),
            delayed: read(&self.counters.delayed),
        }
    }
}

#[cfg(test)]
mod tests;
