//! Customers who come at a rate, whether or not those before them were answered.
//!
//! Problem: a generator that waits for answers sends less when the shop is slow, and so measures
//! least when there is most to see (coordinated omission).
//! Guarantee: customers come at times that were fixed beforehand, and what they wait counts from
//! there. Who gets no answer, or one that tells nothing, asks again with the same `request_id`, at
//! the next instance if there are several, ever more seldom, until patience is out.
//! Not guaranteed: more than `WAITING` customers at a time. Those who find it full wait at the
//! door, and their time runs.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use lifecycle::Stop;
use proto::reception::v1::PlaceOrderRequest;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior, sleep},
};
use tonic::{Code, Status};

use crate::{
    customers::{Customer, item, order},
    history::History,
};

/// How many wait at a time.
const WAITING: usize = 4_000;
/// Connections to each instance.
const CONNECTIONS: usize = 8;
/// Between the first try and the second. It doubles, so that those who wait do not keep down a shop
/// that comes back.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long a customer goes on asking. Longer than any outage of a drill.
const PATIENCE: Duration = Duration::from_secs(90);
/// One drink of every skill.
const MENU: [(&str, &str); 4] = [
    ("latte", "large"),
    ("espresso", "single"),
    ("filter", "small"),
    ("tea", "small"),
];

/// How customers come.
pub(super) struct Crowd {
    pub(super) urls: Vec<String>,
    pub(super) rate: u32,
    pub(super) seed: u64,
    pub(super) history: History,
}

impl Crowd {
    /// Customers come until `stop`. Returns when the last one was answered or gave up.
    pub(super) async fn come(self, stop: Stop) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(self.seed);
        let doors = self.doors()?;
        let mut arrivals = time::interval(Duration::from_secs(1) / self.rate);
        arrivals.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut inside, places) = (JoinSet::new(), Arc::new(Semaphore::new(WAITING)));
        while let Some(came) = stop.run_until_cancelled(arrivals.tick()).await {
            let place = places.clone().acquire_owned().await?;
            let (wish, doors) = (wish(&mut dice), doors.clone());
            let first = dice.random_range(0..doors.len());
            inside.spawn(async move {
                served(&doors, first, wish, came).await;
                drop(place);
            });
            while inside.try_join_next().is_some() {}
        }
        while inside.join_next().await.is_some() {}
        Ok(())
    }

    /// Connections, the instances in turn: whoever asks again comes to another one.
    fn doors(&self) -> Result<Arc<[Customer]>> {
        let urls = self.urls.iter().cycle();
        let urls = urls.take(self.urls.len() * CONNECTIONS);
        urls.map(|url| Customer::new(url, self.history.clone()))
            .collect()
    }
}

async fn served(doors: &[Customer], first: usize, wish: PlaceOrderRequest, came: Instant) {
    let mut pause = PAUSE;
    for door in doors.iter().cycle().skip(first) {
        match door.place_as_of(wish.clone(), came).await {
            Err(status) if asks_again(&status) && came.elapsed() < PATIENCE => {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
            // The history knows.
            _ => return,
        }
    }
}

/// What a customer does not take for an answer.
fn asks_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Aborted
    )
}

/// One drink, and every third time another one.
fn wish(dice: &mut StdRng) -> PlaceOrderRequest {
    let mut pick = || MENU.choose(dice).copied().unwrap_or(MENU[0]);
    let ((drink, size), (other, other_size)) = (pick(), pick());
    let mut wish = order(drink, size, 1);
    if other != drink && dice.random_ratio(1, 3) {
        wish.items.push(item(other, other_size, 1));
    }
    wish
}
