//! Drinks are leased, and booked once.
//!
//! Mostly straight at the store: what has to hold between processes is decided there, and
//! two connections are as good as two processes.

use crate::count;
use barista::{
    store::{self, Lease, NewDrink, NewTicket, Recipe, Terms},
    ticket::Ticket,
};
use proto::barista::v1::{DrinkState, ListTicketsRequest};
use shop::{
    customers::espresso,
    harness::{Options, Shop, eventually},
    services::Service,
};
use sqlx::PgPool;
use std::{collections::HashSet, sync::Mutex, time::Duration};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

#[tokio::test]
async fn a_drink_whose_barista_was_killed_is_made_by_another_and_booked_once() {
    let options = Options {
        processes: true,
        ..Options::default()
    }
    // Six seconds for an espresso: far longer than it takes to see it begun and to kill.
    .with(Service::Barista, "BREW_SCALE", "4")
    .with(Service::Barista, "DRINK_LEASE", "500ms");
    let shop = crate::open_with(options).await;
    let order = shop.place(espresso()).await;
    until_brewing(&shop).await;
    shop.barista.kill9().await.expect("it is a child process");
    shop.barista.start().await.expect("it starts again");
    shop.until_ready(&order).await;

    let request = ListTicketsRequest::default();
    let tickets = shop.barista_client().list_tickets(request).await;
    let tickets = tickets.expect("it is up").into_inner().tickets;
    let drinks: Vec<_> = tickets.iter().flat_map(|ticket| &ticket.drinks).collect();
    let [drink] = drinks.as_slice() else {
        panic!("one espresso was ordered: {drinks:?}");
    };
    assert_eq!((drink.state(), drink.attempt), (DrinkState::Made, 2));
    shop.close().await;
}

/// Asks the barista's own table: reception hears of it later.
async fn until_brewing(shop: &Shop) {
    let in_hand = "select count(*) from drinks where state = 'BREWING'";
    eventually("a drink to be in somebody's hands", async || {
        match count(&shop.barista_pool(), in_hand).await {
            0 => Err("nothing brews"),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
async fn two_bookings_of_the_last_two_drinks_make_the_ticket_ready_once() {
    let (shop, pool) = open().await;
    for _ in 0..50 {
        let order_id = queue(&pool, 2).await;
        let leases = take(&pool, &terms()).await;
        let [first, second] = leases.as_slice() else {
            panic!("two drinks and baristas enough: {leases:?}");
        };
        let (first, second) = tokio::join!(book(&pool, first), book(&pool, second));
        assert!(first && second, "both were in time");
        let told = ["TicketQueued", "TicketStarted", "TicketReady"];
        assert_eq!(events(&pool, order_id).await, told);
        assert_eq!(ticket(&pool, order_id).await, ("READY".to_owned(), 3, 2));
    }
    shop.discard().await;
}

#[tokio::test]
async fn a_drink_whose_lease_ran_out_is_taken_over_and_booked_once() {
    let (shop, pool) = open().await;
    let order_id = queue(&pool, 1).await;
    let dies = Terms {
        margin: Duration::ZERO,
        ..terms()
    };
    let first = take(&pool, &dies).await.remove(0);
    let second = take(&pool, &terms()).await.remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 2));

    assert!(!book(&pool, &first).await, "a stranger brews it by now");
    assert_eq!(ticket(&pool, order_id).await, ("STARTED".to_owned(), 2, 0));
    assert!(book(&pool, &second).await);
    assert!(!book(&pool, &second).await, "it is booked already");
    assert!(!book(&pool, &first).await);
    assert_eq!(ticket(&pool, order_id).await, ("READY".to_owned(), 3, 1));
    let told = ["TicketQueued", "TicketStarted", "TicketReady"];
    assert_eq!(events(&pool, order_id).await, told);
    shop.discard().await;
}

#[tokio::test]
async fn a_drink_whose_lease_ran_out_is_nobodys_until_it_is_taken_over() {
    let (shop, pool) = open().await;
    queue(&pool, 1).await;
    let dies = Terms {
        margin: Duration::ZERO,
        ..terms()
    };
    let first = take(&pool, &dies).await.remove(0);
    // The lease is over, but nobody else was quicker: the coffee is made, so it counts.
    assert!(book(&pool, &first).await);
    assert_eq!(take(&pool, &terms()).await, []);
    shop.discard().await;
}

#[tokio::test]
async fn a_barista_brews_one_drink_at_a_time() {
    let (shop, pool) = open().await;
    for _ in 0..100 {
        queue(&pool, 5).await;
    }
    // Four processes, far too few baristas.
    let busy = Mutex::new(HashSet::new());
    let brewed = tokio::join!(
        brew_all(&pool, &busy),
        brew_all(&pool, &busy),
        brew_all(&pool, &busy),
        brew_all(&pool, &busy),
    );
    assert_eq!(brewed.0 + brewed.1 + brewed.2 + brewed.3, 500);
    shop.discard().await;
}

/// Brews as one process until nothing waits. Returns how many drinks it booked.
async fn brew_all(pool: &PgPool, busy: &Mutex<HashSet<String>>) -> usize {
    let (terms, mut brewed) = (terms(), 0);
    let busy = || busy.lock().expect("nobody panicked with the lock");
    while waiting(pool).await > 0 {
        let in_hand = take(pool, &terms).await;
        for lease in &in_hand {
            assert!(busy().insert(lease.barista_id.clone()), "{lease:?}");
        }
        for lease in &in_hand {
            busy().remove(&lease.barista_id);
            assert!(book(pool, lease).await, "{lease:?}");
        }
        brewed += in_hand.len();
    }
    brewed
}

async fn waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from drinks where state = 'WAITING'")
        .fetch_one(pool)
        .await
        .expect("the database is up")
}

#[tokio::test]
async fn a_process_that_stops_hands_back_what_it_holds() {
    let (shop, pool) = open().await;
    queue(&pool, 1).await;
    let stops = terms();
    let first = take(&pool, &stops).await.remove(0);
    assert_eq!(hand_back(&pool, &stops).await, 1);

    let second = take(&pool, &terms()).await.remove(0);
    assert_eq!(second.attempt, 2);
    assert!(!book(&pool, &first).await);
    assert!(book(&pool, &second).await);
    shop.discard().await;
}

/// A barista's tables, and nobody at work. Tickets without orders would not pass the books,
/// so this shop is discarded.
async fn open() -> (Shop, PgPool) {
    let shop = Shop::prepare(Options::default()).await;
    let shop = shop.unwrap_or_else(|error| panic!("the shop does not open: {error:#}"));
    let pool = shop.barista_pool();
    let migrated = barista::MIGRATIONS.run(&pool).await;
    migrated.expect("the database is new");
    (shop, pool)
}

/// A process that takes drinks and has time.
fn terms() -> Terms {
    Terms {
        owner: Uuid::now_v7(),
        scale: 0.0,
        margin: Duration::from_secs(60),
        attempts: 5,
    }
}

/// A ticket of espressos.
async fn queue(pool: &PgPool, units: i32) -> Uuid {
    let order_id = Uuid::now_v7();
    let recipe = Recipe {
        drink: "espresso".into(),
        size: "single".into(),
        skill: "espresso".into(),
        brew_time_ms: 1500,
        on_shift: true,
    };
    let drink = |unit| NewDrink {
        order_id,
        line: 0,
        unit,
        recipe: recipe.clone(),
    };
    let new = NewTicket {
        ticket: Ticket::queued(order_id, units, TraceContext::default()),
        order_revision: 2,
        drinks: (0..units).map(drink).collect(),
    };
    let mut tx = pool.begin().await.expect("the database is up");
    let queued = store::queue(&mut tx, vec![new]).await;
    queued.expect("the ticket is new");
    tx.commit().await.expect("the database is up");
    order_id
}

async fn take(pool: &PgPool, terms: &Terms) -> Vec<Lease> {
    let mut tx = pool.begin().await.expect("the database is up");
    let taken = store::take_drinks(&mut tx, terms).await;
    let taken = taken.expect("taking waits for nobody");
    tx.commit().await.expect("the database is up");
    taken
}

/// Whether it was in time.
async fn book(pool: &PgPool, lease: &Lease) -> bool {
    let mut tx = pool.begin().await.expect("the database is up");
    let booked = store::book_drinks(&mut tx, std::slice::from_ref(lease)).await;
    let booked = booked.expect("too late is no error");
    tx.commit().await.expect("the database is up");
    booked == [true]
}

/// How many drinks went back.
async fn hand_back(pool: &PgPool, terms: &Terms) -> u64 {
    let mut conn = pool.acquire().await.expect("the database is up");
    let handed_back = store::hand_back(&mut conn, terms.owner).await;
    handed_back.expect("the database is up")
}

/// State, revision and drinks made.
async fn ticket(pool: &PgPool, order_id: Uuid) -> (String, i64, i32) {
    sqlx::query_as("select state, revision, drinks_made from tickets where order_id = $1")
        .bind(order_id)
        .fetch_one(pool)
        .await
        .expect("the ticket is there")
}

/// What was said about a ticket, in the sequence of its revisions.
async fn events(pool: &PgPool, order_id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select substring(o.event_type from '[^.]*$') from outbox o \
         join ticket_history h using (order_id, revision) \
         where order_id = $1 order by revision",
    )
    .bind(order_id)
    .fetch_all(pool)
    .await
    .expect("the outbox is there")
}
