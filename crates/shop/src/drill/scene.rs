//! What a drill plays on: an open shop, its customers, and what is to be noted of both.
//!
//! A drill's acts call `Scene::steady`, then `Scene::breaks`, `Scene::lasts`,
//! `Scene::claim`, `Scene::bites` and `Scene::heals`, in this order, as often as they like.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{DateTime, Utc};
use lifecycle::Stop;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Settings,
    exports::Exports,
    notes::{Bite, Claim, Noted, Notes},
    opening::Opening,
    spans::Spans,
    watching::Watching,
};
use crate::{
    fault::Proxy,
    harness::{self, Hosted, Shop},
    history::{Call, History},
    services::Service,
};

/// A set of calls, and what can be said of it.
mod calls;
/// What is claimed of calls.
mod claims;
/// The end: customers leave, and what is in flight arrives.
mod ending;
/// Faults that more than one drill injects.
mod faults;
/// What is asked of databases and of Kafka itself.
mod looks;
/// Who must have noticed what was broken.
mod noticed;
/// More customers than usual.
mod rush;
/// What an onlooker has seen.
mod seen;
/// What can be broken, to be drawn.
mod troubles;

pub(crate) use calls::Calls;
pub(super) use ending::Ended;
pub(crate) use faults::loses_replies;
pub(crate) use troubles::Trouble;

/// The share of the time in which nothing is broken yet.
const STEADY: f64 = 0.25;
/// The share for which a fault lasts.
const BROKEN: f64 = 0.4;
/// A call that takes longer has waited for its deadline, which customers set to five seconds.
const ANSWERED_WITHIN: Duration = Duration::from_millis(4_500);
/// How long something may take that a drill waits for; `SHOP_PATIENCE` if that is longer.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn patience() -> Duration {
    harness::patience().max(PATIENCE)
}

/// An open shop with customers in it.
pub(crate) struct Scene {
    /// The shop.
    pub(crate) shop: Shop,
    others: Vec<(Service, Hosted)>,
    logs: PathBuf,
    pub(super) settings: Settings,
    history: History,
    began: Instant,
    /// When customers began to come.
    came: OnceLock<Instant>,
    notes: Notes,
    of_calls: claims::OfCalls,
    exports: Exports,
    watching: Watching,
    dice: Mutex<StdRng>,
    leave: Stop,
    customers: tokio::sync::Mutex<JoinSet<Result<()>>>,
    /// What is done at the moment, for those who wait.
    doing: Mutex<String>,
}

impl Scene {
    /// Opens the shop. Nobody comes yet.
    pub(super) async fn open(opening: Opening, settings: Settings, folder: &Path) -> Result<Self> {
        let history = History::recorded(&folder.join("history.jsonl"))?;
        let (began, _) = history.began().context("it is recorded")?;
        let exports = Exports::open().await?;
        let logs = folder.join("logs");
        let opened = opening.open(history.clone(), &logs, &exports, &settings);
        let (shop, others) = opened.await?;
        Ok(Self {
            watching: Watching::start(&shop, began),
            dice: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            shop,
            others,
            logs,
            settings,
            history,
            began,
            came: OnceLock::new(),
            notes: Notes::default(),
            of_calls: claims::OfCalls::default(),
            exports,
            leave: Stop::new(),
            customers: tokio::sync::Mutex::new(JoinSet::new()),
            doing: Mutex::new("opening".to_owned()),
        })
    }

    /// Customers come. Returns when, for a quarter of the time, every call was answered OK, and an
    /// order is READY: what is ill before anything is broken proves nothing.
    pub(crate) async fn steady(&self) -> Result<()> {
        self.does("steady: customers come");
        let crowd = self.crowd(self.settings.rate);
        self.came.get_or_init(Instant::now);
        let coming = crowd.come(self.leave.clone());
        self.customers.lock().await.spawn(coming);
        self.until("every call to be answered OK", async || {
            let from_us = self.now_us();
            sleep(self.share(STEADY)).await;
            let calls = self.calls_since(from_us);
            ensure!(calls.answered() > 0 && calls.not_ok() == 0, "{calls}");
            Ok(true)
        })
        .await?;
        self.until("a first order to be READY", async || {
            let ready = "select count(*) from orders where state = 'READY'";
            Ok(self.count(Service::Reception, ready).await? > 0)
        })
        .await
    }

    /// Breaks something: `breaks("Kafka stopped", …)`. The words name the kind of fault.
    pub(crate) async fn breaks<T>(
        &self,
        kind: &str,
        how: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.does(&format!("broken: {kind}"));
        self.notes.breaks(kind, self.now_us());
        how.await
            .with_context(|| format!("cannot be broken: {kind}"))
    }

    /// Waits while the fault lasts.
    pub(crate) async fn lasts(&self) {
        self.lasts_for(1.0).await;
    }

    /// The same for a share of that time, for drills that break more than once.
    pub(crate) async fn lasts_for(&self, share: f64) {
        sleep(self.share(BROKEN * share)).await;
    }

    /// Mends all that is broken.
    pub(crate) async fn heals<T>(&self, how: impl Future<Output = Result<T>>) -> Result<T> {
        self.does("healing");
        self.notes.heals(self.now_us());
        let healed = how.await.context("cannot be healed")?;
        self.notes.healed(self.now_us());
        self.does("healed: customers still come");
        Ok(healed)
    }

    /// Says what has to hold, and what was seen.
    pub(crate) fn claim(&self, claim: &str, holds: bool, seen: impl fmt::Display) {
        self.notes.claims(Claim {
            claim: claim.to_owned(),
            holds,
            seen: seen.to_string(),
        });
    }

    /// Says how often the fault was met, and by what. A drill without a bite fails, and so does one
    /// whose bite is zero.
    pub(crate) fn bites(&self, what: &str, count: u64) {
        self.notes.bites(Bite {
            what: what.to_owned(),
            count,
        });
    }

    /// The calls that were made since the last fault began, or were under way.
    pub(crate) fn calls_since_break(&self) -> Calls {
        self.calls_since(self.broken_us())
    }

    /// The calls that were made since that time, or were under way.
    pub(crate) fn calls_since(&self, from_us: u64) -> Calls {
        let now_us = self.now_us();
        Calls::of(self.history.calls(), from_us, now_us, now_us)
    }

    /// Waits for what must come. The error says what did not.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<()> {
        let patience = patience();
        let deadline = Instant::now() + patience;
        loop {
            let seen = look().await;
            match seen {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Ok(false) => bail!("waited {patience:?} for {what}"),
                Err(error) => {
                    return Err(error).with_context(|| format!("waited {patience:?} for {what}"));
                }
            }
        }
    }

    /// The line of all services to whoever collects their spans.
    pub(crate) fn line_of_spans(&self) -> &Proxy {
        &self.exports.line
    }

    /// The spans that have arrived.
    pub(crate) fn spans(&self) -> &Spans {
        self.exports.spans()
    }

    /// Every instance of a service.
    pub(crate) fn all(&self, service: Service) -> impl Iterator<Item = &Hosted> {
        let others = self.others.iter().filter(move |(of, _)| *of == service);
        std::iter::once(self.shop.service(service)).chain(others.map(|(_, hosted)| hosted))
    }

    /// The sum of a counter over all services, so far.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        self.exports.meters().sum(counter).unwrap_or(0)
    }

    /// How many orders or tickets are there, by a question that counts.
    pub(crate) async fn count(&self, service: Service, question: &'static str) -> Result<u64> {
        let pool = self.pool(service);
        let count: i64 = sqlx::query_scalar(question).fetch_one(&pool).await?;
        Ok(u64::try_from(count)?)
    }

    /// Draws from what the seed has decided.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is done at the moment, and how customers fare.
    pub(super) fn doing(&self) -> String {
        let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        let (answered, ok) = self.history.answered_so_far();
        format!("{doing} ({answered} answered, {ok} OK)")
    }

    pub(super) fn does(&self, what: &str) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut doing);
    }

    /// Ends every instance in good order, those beyond the first of each before them.
    pub(super) async fn closes(&mut self) -> Result<()> {
        for (_, other) in self.others.drain(..) {
            other.stop().await?;
        }
        self.shop.stop_services().await
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.history.calls()
    }

    /// When the history began.
    pub(super) fn began_time(&self) -> DateTime<Utc> {
        let began = self.history.began();
        began.map_or_else(Utc::now, |(_, time)| time)
    }

    /// The sum of a counter; none if no service ever sent it.
    pub(super) fn sum(&self, counter: &str) -> Option<u64> {
        self.exports.meters().sum(counter)
    }

    /// All counters.
    pub(super) fn sums(&self) -> BTreeMap<String, u64> {
        self.exports.meters().sums()
    }

    pub(super) fn noted(&self) -> Noted {
        self.notes.all()
    }

    /// Microseconds since the history began.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When the last fault began.
    fn broken_us(&self) -> u64 {
        let faults = self.notes.all().faults;
        faults.last().map_or(0, |fault| fault.from_us)
    }

    fn share(&self, share: f64) -> Duration {
        Duration::from_secs(self.settings.seconds).mul_f64(share)
    }
}
