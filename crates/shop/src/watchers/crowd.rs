//! Those who watch: each one order, until it is over, and again wherever its stream ends before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use proto::reception::v1::{
    Order, WatchOrderRequest, reception_service_client::ReceptionServiceClient,
    watch_order_response::Update,
};
use rand::Rng as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Status, transport::Channel};

/// Words of changes that nobody has asked after yet.
const WORDS: usize = 1_000;
/// Before a stream that ended is opened again: around what `RetryInfo` says, or all come at once.
const PAUSE_MS: std::ops::Range<u64> = 500..1_500;

/// Watchers, and what they hear.
pub(super) struct Crowd {
    channels: Vec<Channel>,
    heard: Arc<Heard>,
    watching: watch::Receiver<u32>,
    told: mpsc::Receiver<(String, Instant)>,
    watchers: JoinSet<()>,
}

struct Heard {
    watching: watch::Sender<u32>,
    told: mpsc::Sender<(String, Instant)>,
    heartbeats: AtomicU64,
    /// Streams that did not open.
    refused: AtomicU64,
}

/// Who watches is counted for as long as this lives.
struct Watching<'a>(&'a Heard);

impl Crowd {
    /// Nobody yet, over so many connections.
    pub(super) fn new(url: &str, connections: u32) -> Result<Self> {
        let channels = (0..connections).map(|_| rpc::client::channel(url));
        let (sender, watching) = watch::channel(0);
        let (words, told) = mpsc::channel(WORDS);
        Ok(Self {
            channels: channels.collect::<Result<_>>()?,
            heard: Arc::new(Heard {
                watching: sender,
                told: words,
                heartbeats: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
            watching,
            told,
            watchers: JoinSet::new(),
        })
    }

    /// Has each of these watched, from now on.
    pub(super) fn watch(&mut self, orders: &[Order]) {
        let channels = self.channels.iter().cycle();
        for (order, channel) in orders.iter().zip(channels) {
            let watcher = Watcher {
                client: ReceptionServiceClient::new(channel.clone()),
                order_id: order.order_id.clone(),
                revision: order.revision,
                heard: self.heard.clone(),
            };
            self.watchers.spawn(watcher.run());
        }
    }

    /// Waits until so many watch at the same time.
    pub(super) async fn until_watching(&mut self, wanted: u32) {
        // The sender lives as long as this.
        self.watching.wait_for(|now| *now >= wanted).await.ok();
    }

    pub(super) fn watching(&self) -> u32 {
        *self.watching.borrow()
    }

    pub(super) fn heartbeats(&self) -> u64 {
        self.heard.heartbeats.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.heard.refused.load(Ordering::Relaxed)
    }

    /// When its watcher heard of this order.
    pub(super) async fn told_of(&mut self, order_id: &str) -> Result<Instant> {
        loop {
            let (told, at) = self.told.recv().await.context("nobody watches")?;
            if told == order_id {
                return Ok(at);
            }
        }
    }
}

struct Watcher {
    client: ReceptionServiceClient<Channel>,
    order_id: String,
    /// The last one heard of.
    revision: i64,
    heard: Arc<Heard>,
}

impl Watcher {
    async fn run(mut self) {
        while self.watch().await.is_err() {
            let pause = rand::rng().random_range(PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Until the order is over, or the stream ends before.
    async fn watch(&mut self) -> Result<(), Status> {
        let request = WatchOrderRequest {
            order_id: self.order_id.clone(),
            after_revision: self.revision,
        };
        let opened = self.client.watch_order(request).await;
        let mut updates = opened
            .inspect_err(|_| {
                self.heard.refused.fetch_add(1, Ordering::Relaxed);
            })?
            .into_inner();
        let heard = self.heard.clone();
        let _watching = heard.enter();
        while let Some(update) = updates.message().await? {
            match update.update {
                Some(Update::Order(order)) => {
                    self.revision = order.revision;
                    let word = (order.order_id, Instant::now());
                    // Nobody asks any more: the measurement is over.
                    self.heard.told.send(word).await.ok();
                }
                _ => {
                    self.heard.heartbeats.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

impl Heard {
    fn enter(&self) -> Watching<'_> {
        self.watching.send_modify(|now| *now += 1);
        Watching(self)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.watching.send_modify(|now| *now -= 1);
    }
}
