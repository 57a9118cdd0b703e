//! The end of a drill: the last customers, what is in flight, the books.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::{LOOK_EVERY, STEADY, Scene, patience};
use crate::{
    books::{self, Books, topics},
    harness::InFlight,
    history::{Call, Outcome},
};

/// How long the last customers may wait: longer than each of them does.
const CUSTOMERS_PATIENCE: Duration = Duration::from_secs(150);

/// What the end has shown.
pub(crate) struct Ended {
    /// All accounts, compared.
    pub(crate) books: Books,
    /// Messages in both topics, if Kafka kept them.
    pub(crate) published: Option<topics::Published>,
    /// Requests of which the customer never learned what became of them, and which are stored.
    pub(crate) found: HashSet<String>,
}

impl Scene {
    /// Customers come until the time is over, and for a while after the healing in any case. Returns
    /// when the last one was served.
    pub(in crate::drill) async fn recovers(&self) -> Result<()> {
        let came = *self.came.get().context("the acts begin with `steady`")?;
        let a_while = Instant::now() + self.share(STEADY);
        sleep_until(a_while.max(came + self.share(1.0))).await;
        self.does("the last customers");
        self.leave.cancel();
        let mut customers = self.customers.lock().await;
        while let Some(left) = timeout(CUSTOMERS_PATIENCE, customers.join_next())
            .await
            .context("customers wait for ever")?
        {
            left??;
        }
        self.judges_again();
        Ok(())
    }

    /// Waits until nothing is in flight. Patience begins anew whenever something has moved.
    pub(in crate::drill) async fn drains(&self) -> Result<()> {
        self.does("draining");
        let patience = patience();
        let (mut left, mut deadline) = (None, Instant::now() + patience);
        loop {
            let now = self.shop.in_flight().await?;
            if now == InFlight::default() {
                return Ok(());
            }
            if left.replace(now) != Some(now) {
                deadline = Instant::now() + patience;
            }
            ensure!(
                Instant::now() < deadline,
                "nothing has moved for {patience:?}, and this is still in flight: {now:?}"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// Compares all accounts: orders, drinks, charges, topics, and what customers were told.
    pub(in crate::drill) async fn ends(&self, log_is_kept: bool) -> Result<Ended> {
        self.does("the books");
        self.history.ensure_whole()?;
        let acknowledged = self.history.acknowledged();
        let ledgers = self.shop.ledgers();
        let mut books = books::check(&ledgers, &acknowledged, true).await?;
        let mut published = None;
        if log_is_kept {
            let topics = [self.shop.orders_topic(), self.shop.tickets_topic()];
            let brokers = self.shop.servers.kafka_direct();
            let seen = topics::check(&ledgers, brokers, &topics).await?;
            books.findings.extend(seen.findings.iter().cloned());
            published = Some(seen);
        }
        let calls = self.history.calls();
        books.compare_with(&ledgers.reception, &calls).await?;
        let found = self.stored(&calls).await?;
        Ok(Ended {
            books,
            published,
            found,
        })
    }

    /// Those requests of unknown outcome that reception has stored.
    async fn stored(&self, calls: &[Call]) -> Result<HashSet<String>> {
        let unknown = calls.iter().filter(|c| c.outcome() == Outcome::Unknown);
        let ids: Vec<Uuid> = unknown
            .filter_map(|call| call.request_id.parse().ok())
            .collect();
        let stored = "select request_id::text from orders where request_id = any($1)";
        let stored = sqlx::query_scalar(stored).bind(ids);
        let stored: Vec<String> = stored.fetch_all(&self.shop.reception_pool()).await?;
        Ok(stored.into_iter().collect())
    }
}
