//! Whatever waits is committed together, and each caller is told the truth about its own.

use crate::{count, open, post::Post};
use batching::{Batcher, Error, Limits, Work, batcher};
use futures::future::join_all;
use lifecycle::Stop;
use messaging::outbox::Waker;
use reception::{
    change::{self, Change, Changed},
    order::{Cancel, Event, HistoryEntry, Item, Order, OrderId, Payment, Refund, State},
    place_order::{Stored, Storing},
    store::NewOrder,
};
use shop::harness::{Options, Shop, eventually};
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, slice, time::Duration};
use telemetry::propagation::TraceContext;
use tokio::{task::JoinSet, try_join};
use uuid::Uuid;

/// Long enough for any machine; what a test waits for ends it sooner.
const LIMITS: Limits = Limits {
    wait: Duration::from_secs(60),
    patience: Duration::from_secs(60),
};
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes a number down, and answers with the transaction that did.
struct Writing;

/// The database refuses it.
const REFUSED: i64 = -1;

impl Work for Writing {
    type Item = i64;
    type Answer = i64;

    async fn apply(&self, conn: &mut PgConnection, items: &[i64]) -> sqlx::Result<Vec<i64>> {
        sqlx::query("insert into written select * from unnest($1::bigint[])")
            .bind(items)
            .execute(&mut *conn)
            .await?;
        let xid = sqlx::query_scalar("select pg_current_xact_id()::text::bigint")
            .fetch_one(conn)
            .await?;
        Ok(vec![xid; items.len()])
    }
}

/// A table to write to, and a committer at work.
struct Desk {
    post: Post,
    batcher: Batcher<Writing>,
    stop: Stop,
    committer: JoinSet<()>,
}

impl Desk {
    async fn open() -> Self {
        let post = Post::open(Options::default()).await;
        post.execute("create table written (number bigint check (number <> -1))")
            .await;
        let (batcher, committer) = batcher(post.pool.clone(), Writing, LIMITS);
        let (stop, mut tasks) = (Stop::new(), JoinSet::new());
        let running = committer.run(stop.clone());
        tasks.spawn(async { running.await.expect("it ends well") });
        Self {
            post,
            batcher,
            stop,
            committer: tasks,
        }
    }

    /// Submits all at the same time.
    async fn submit(&self, numbers: impl Iterator<Item = i64>) -> Vec<Result<i64, Error>> {
        join_all(numbers.map(|number| self.batcher.submit(number, PATIENCE))).await
    }

    /// Keeps both committers busy until the lock is let go.
    async fn blocked(&self) -> (sqlx::Transaction<'static, sqlx::Postgres>, JoinSet<()>) {
        let mut lock = self.post.pool.begin().await.expect("the database is up");
        sqlx::query("lock table written in exclusive mode")
            .execute(&mut *lock)
            .await
            .expect("nobody else has it");
        let mut blocked = JoinSet::new();
        for waiting in 1..=2 {
            let batcher = self.batcher.clone();
            blocked.spawn(async move {
                batcher
                    .submit(0, PATIENCE)
                    .await
                    .expect("the lock is let go");
            });
            eventually("a committer to wait for the lock", async || {
                match count(&self.post.pool, "select count(*) from pg_locks l join pg_class c on c.oid = l.relation where c.relname = 'written' and not granted").await {
                    n if n == waiting => Ok(()),
                    n => Err(n),
                }
            })
            .await;
        }
        (lock, blocked)
    }

    async fn written(&self) -> i64 {
        count(&self.post.pool, "select count(*) from written").await
    }

    async fn close(self) {
        self.stop.cancel();
        self.committer.join_all().await;
        self.post.close().await;
    }
}

#[tokio::test]
async fn what_waits_is_committed_in_one_transaction() {
    let desk = Desk::open().await;
    let (lock, blocked) = desk.blocked().await;
    let waiting = desk.submit(1..=64);
    let let_go = async {
        // The 64 are in the queue by the first poll of their future, before this one's.
        lock.commit().await.expect("the database is up");
    };
    let (answers, ()) = tokio::join!(waiting, let_go);
    blocked.join_all().await;
    let transactions: HashSet<i64> = answers.into_iter().map(|a| a.expect("committed")).collect();
    assert_eq!(transactions.len(), 1);
    assert_eq!(desk.written().await, 2 + 64);
    desk.close().await;
}

#[tokio::test]
async fn one_bad_item_does_not_fail_its_neighbors() {
    let desk = Desk::open().await;
    let (lock, blocked) = desk.blocked().await;
    let waiting = desk.submit([1, 2, REFUSED, 3, 4].into_iter());
    let let_go = async { lock.commit().await.expect("the database is up") };
    let (answers, ()) = tokio::join!(waiting, let_go);
    blocked.join_all().await;
    let committed: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(committed, [true, true, false, true, true]);
    assert!(matches!(&answers[2], Err(Error::NotCommitted(error))
        if error.as_database_error().is_some_and(|error| error.is_check_violation())));
    assert_eq!(desk.written().await, 2 + 4);
    desk.close().await;
}

#[tokio::test]
async fn a_caller_is_answered_after_the_commit() {
    let desk = Desk::open().await;
    // The COMMIT takes a while.
    desk.post
        .execute(
            "create function nap() returns trigger language plpgsql as \
                 'begin perform pg_sleep(0.3); return null; end'; \
             create constraint trigger nap after insert on written \
                 deferrable initially deferred for each row execute function nap()",
        )
        .await;
    desk.batcher.submit(1, PATIENCE).await.expect("committed");
    assert_eq!(desk.written().await, 1, "another connection sees it");
    desk.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_before_its_turn_takes_its_item_back() {
    let desk = Desk::open().await;
    let (lock, blocked) = desk.blocked().await;
    let impatient = desk.batcher.submit(1, Duration::from_millis(50)).await;
    assert!(
        matches!(impatient, Err(Error::NotCommitted(_))),
        "{impatient:?}"
    );
    let gone = tokio::time::timeout(Duration::from_millis(50), desk.batcher.submit(2, PATIENCE));
    assert!(gone.await.is_err(), "its turn does not come");
    lock.commit().await.expect("the database is up");
    blocked.join_all().await;
    desk.batcher.submit(3, PATIENCE).await.expect("committed");
    assert_eq!(desk.written().await, 2 + 1, "neither 1 nor 2");
    desk.close().await;
}

#[tokio::test]
async fn when_too_many_wait_the_next_is_told_so_at_once() {
    let desk = Desk::open().await;
    let (lock, blocked) = desk.blocked().await;
    let crowd = desk.submit(1_000..3_000);
    let let_go = async { lock.commit().await.expect("the database is up") };
    let (answers, ()) = tokio::join!(crowd, let_go);
    blocked.join_all().await;
    let busy = answers
        .iter()
        .filter(|a| matches!(a, Err(Error::Busy)))
        .count();
    assert_eq!(busy, 2_000 - 1_024, "the queue holds 1,024");
    let committed = i64::try_from(answers.iter().filter(|a| a.is_ok()).count());
    assert_eq!(committed, Ok(1_024));
    assert_eq!(
        desk.written().await,
        2 + 1_024,
        "what is refused is not written"
    );
    desk.close().await;
}

#[tokio::test]
async fn what_waits_when_the_process_stops_is_committed_and_answered() {
    let desk = Desk::open().await;
    let (lock, blocked) = desk.blocked().await;
    let waiting = desk.submit(1..=100);
    let stop = async {
        desk.stop.cancel();
        lock.commit().await.expect("the database is up");
    };
    let (answers, ()) = tokio::join!(waiting, stop);
    blocked.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(desk.written().await, 2 + 100);
    desk.close().await;
}

#[tokio::test]
async fn an_order_stored_again_after_an_unknown_commit_is_our_own_success() {
    let shop = open().await;
    let new = new_order();
    assert_eq!(store(&shop, slice::from_ref(&new)).await, [Stored::New]);
    assert_eq!(store(&shop, slice::from_ref(&new)).await, [Stored::New]);
    assert_eq!(orders(&shop, &new).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn repeats_of_a_request_in_one_batch_are_one_order() {
    let shop = open().await;
    let new = new_order();
    let mut repeat = new_order();
    (repeat.request_id, repeat.request_hash) = (new.request_id, new.request_hash.clone());
    let mut other = new_order();
    (other.request_id, other.request_hash) = (new.request_id, vec![0]);
    let stored = store(&shop, &[new.clone(), repeat, other]).await;
    assert_eq!(
        stored,
        [Stored::New, Stored::Known(new.order.clone()), Stored::Other]
    );
    assert_eq!(orders(&shop, &new).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn batches_that_overlap_in_another_sequence_do_not_deadlock() {
    let shop = open().await;
    let pool = shop.reception_pool();
    for _ in 0..20 {
        let one: Vec<NewOrder> = (0..32).map(|_| new_order()).collect();
        // The same requests from the far end, as a second instance would get them.
        let other: Vec<NewOrder> = one.iter().rev().cloned().map(again).collect();
        let (stored, known) = try_join!(stored(&pool, &one), stored(&pool, &other))
            .expect("they wait for each other, but not in a circle");
        let new = stored.iter().chain(&known).filter(|s| **s == Stored::New);
        assert_eq!(new.count(), one.len(), "each order once");
    }
    shop.close().await;
}

#[tokio::test]
async fn outcomes_of_the_same_orders_in_another_sequence_do_not_deadlock() {
    let shop = open().await;
    let pool = shop.reception_pool();
    for _ in 0..20 {
        let orders: Vec<NewOrder> = (0..32).map(|_| left_alone(new_order())).collect();
        store(&shop, &orders).await;
        let charged: Vec<Change> = orders.iter().map(charged).collect();
        // As the caller's own charge and the sweeper's would come.
        let reversed: Vec<Change> = charged.iter().rev().cloned().collect();
        let (one, other) = try_join!(recorded(&pool, &charged), recorded(&pool, &reversed))
            .expect("they wait for each other, but not in a circle");
        let applied = |c: &&Changed| matches!(c, Changed::Applied(_));
        assert_eq!(one.iter().chain(&other).filter(applied).count(), 32);
    }
    // Nobody was charged in truth: there are no books to check.
    shop.discard().await;
}

/// Not for the sweeper while the test lasts.
fn left_alone(new: NewOrder) -> NewOrder {
    NewOrder {
        settle_after: Duration::from_secs(3600),
        ..new
    }
}

fn charged(new: &NewOrder) -> Change {
    Change {
        order_id: new.order.order_id,
        event: Event::Charged {
            payment_id: Uuid::now_v7(),
        },
        ticket_revision: None,
        trace: TraceContext::default(),
    }
}

async fn recorded(pool: &PgPool, changes: &[Change]) -> sqlx::Result<Vec<Changed>> {
    let mut tx = pool.begin().await?;
    let changed = change::apply(&mut tx, changes).await?;
    tx.commit().await?;
    Ok(changed)
}

/// The same request as another order.
fn again(new: NewOrder) -> NewOrder {
    let order_id = OrderId(Uuid::now_v7());
    NewOrder {
        order: Order {
            order_id,
            ..new.order
        },
        ..new
    }
}

async fn store(shop: &Shop, items: &[NewOrder]) -> Vec<Stored> {
    stored(&shop.reception_pool(), items)
        .await
        .expect("the database is up")
}

async fn stored(pool: &PgPool, items: &[NewOrder]) -> sqlx::Result<Vec<Stored>> {
    let work = Storing {
        waker: Waker::new(),
    };
    let mut tx = pool.begin().await?;
    let stored = work.apply(&mut tx, items).await?;
    tx.commit().await?;
    Ok(stored)
}

async fn orders(shop: &Shop, new: &NewOrder) -> i64 {
    sqlx::query_scalar("select count(*) from orders where request_id = $1")
        .bind(new.request_id)
        .fetch_one(&shop.reception_pool())
        .await
        .expect("the database is up")
}

/// An order that nobody waits for: the sweeper has it charged.
pub fn new_order() -> NewOrder {
    let (now, order_id) = (change::now(), OrderId(Uuid::now_v7()));
    let (state, revision, detail) = (State::AwaitingPayment, 1, "placed".to_owned());
    let item = Item {
        drink: "espresso".to_owned(),
        size: "single".to_owned(),
        quantity: 1,
        unit_price_minor: 220,
    };
    let placed = HistoryEntry {
        state,
        time: now,
        revision,
        detail,
    };
    NewOrder {
        order: Order {
            order_id,
            customer_name: "Ada".to_owned(),
            items: vec![item],
            currency_code: "EUR".to_owned(),
            total_minor: 220,
            state,
            revision,
            payment: Payment::Pending,
            refund: Refund::NotNeeded,
            cancel: Cancel::NotRequested,
            create_time: now,
            update_time: now,
            ready_time: None,
            history: vec![placed],
        },
        request_id: Uuid::now_v7(),
        request_hash: vec![1; 32],
        payment_token: "tok_visa".to_owned(),
        settle_after: Duration::ZERO,
        trace: TraceContext::default(),
    }
}
