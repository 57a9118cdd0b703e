//! The books see what is wrong.
//!
//! Every other test relies on them, so here each kind of wrong row is planted and must be named. What
//! the tables' own constraints forbid is planted without them: the books trust no constraint.

use futures::FutureExt as _;
use proto::reception::v1::Order;
use shop::{
    books::{
        Rule::{self, *},
        topics,
    },
    customers::{item, latte},
    harness::Shop,
};
use sqlx::{AssertSqlSafe, PgPool};
use std::{collections::BTreeSet, panic::AssertUnwindSafe};
use uuid::Uuid;

/// A wrong row, and what the books must say of its order.
struct Plant {
    what: &'static str,
    place: Place,
    /// `{id}` is the order; `{new}` a fresh id.
    sql: &'static str,
    /// Of a shop in which nothing is in flight.
    settled: &'static [Rule],
    /// Of a shop that runs.
    running: &'static [Rule],
}

#[derive(Clone, Copy)]
enum Place {
    Reception,
    Barista,
    Payments,
}

#[tokio::test]
async fn whatever_is_wrong_is_named_with_its_order() {
    let shop = crate::open().await;
    let mut orders = Vec::new();
    for _ in PLANTS {
        orders.push(shop.place(two_lattes_and_a_tea()).await);
    }
    shop.until_idle().await;
    stop(&shop).await;
    drop_constraints(&shop).await;
    assert_eq!(
        findings(&shop, true).await,
        BTreeSet::new(),
        "nothing is wrong yet"
    );

    for (plant, order) in PLANTS.iter().zip(orders) {
        let before = [findings(&shop, false).await, findings(&shop, true).await];
        let new = put(&shop, plant, &order).await;
        let after = [findings(&shop, false).await, findings(&shop, true).await];
        let blamed = if plant.sql.contains("{new}") {
            new
        } else {
            order.order_id.clone()
        };
        for (at, expected) in [plant.running, plant.settled].into_iter().enumerate() {
            let found: BTreeSet<_> = after[at].difference(&before[at]).cloned().collect();
            let expected = expected
                .iter()
                .map(|rule| (*rule, blamed.clone()))
                .collect();
            assert_eq!(found, expected, "{} (settled: {})", plant.what, at == 1);
        }
    }
    shop.discard().await;
}

#[tokio::test]
async fn what_happened_and_is_on_no_topic_is_named() {
    let shop = crate::open().await;
    let order = shop.place(two_lattes_and_a_tea()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;
    assert_eq!(unpublished(&shop).await, BTreeSet::new());

    shop.expire_messages(&shop.tickets_topic()).await;
    let order_id = order.order_id.clone();
    assert_eq!(unpublished(&shop).await, BTreeSet::from([order_id]));
    shop.close().await;
}

#[tokio::test]
async fn what_is_on_a_topic_and_never_happened_is_named() {
    let shop = crate::open().await;
    let order = shop.place(two_lattes_and_a_tea()).await;
    shop.until_ready(&order).await;
    shop.until_idle().await;

    let forget = sqlx::query("delete from order_history");
    let forgotten = forget.execute(&shop.reception_pool()).await;
    forgotten.expect("reception's database is up");
    assert_eq!(unpublished(&shop).await, BTreeSet::from([order.order_id]));
    shop.discard().await;
}

/// The orders of which something is missing on a topic, or is there without a cause.
async fn unpublished(shop: &Shop) -> BTreeSet<String> {
    let topics = [shop.orders_topic(), shop.tickets_topic()];
    let published = topics::check(&shop.ledgers(), shop.servers.kafka_direct(), &topics).await;
    let published = published.expect("Kafka and the databases are up");
    let findings = published.findings.iter();
    findings
        .map(|finding| finding.order_id.to_string())
        .collect()
}

const PLANTS: &[Plant] = &[
    Plant {
        what: "an acknowledged order is gone",
        place: Place::Reception,
        sql: "delete from order_history where order_id = '{id}'; \
              delete from orders where order_id = '{id}'",
        settled: &[Lost, MadeUnpaid, ChargedForNothing],
        running: &[Lost, MadeUnpaid, ChargedForNothing],
    },
    Plant {
        what: "an order never heard that it is ready",
        place: Place::Reception,
        sql: "delete from order_history where order_id = '{id}' and state = 'READY'; \
              update orders o set (state, revision) = (select state, revision from order_history h \
                  where h.order_id = o.order_id order by revision desc limit 1) \
              where order_id = '{id}'",
        settled: &[Unfinished, TicketDisagrees],
        running: &[],
    },
    Plant {
        what: "an order never heard that it is charged",
        place: Place::Reception,
        sql: "delete from order_history where order_id = '{id}' and revision > 1; \
              update orders set state = 'AWAITING_PAYMENT', revision = 1 where order_id = '{id}'",
        settled: &[Unfinished, MadeUnpaid, ChargedForNothing],
        running: &[MadeUnpaid],
    },
    Plant {
        what: "a drink was never booked",
        place: Place::Barista,
        sql: "update drinks set state = 'WAITING' where order_id = '{id}' and line = 0 and unit = 1",
        settled: &[NotMadeAsOrdered],
        running: &[NotMadeAsOrdered],
    },
    Plant {
        what: "a drink was booked twice",
        place: Place::Barista,
        sql: "insert into drinks select * from drinks where order_id = '{id}' and line = 1",
        settled: &[NotMadeAsOrdered],
        running: &[NotMadeAsOrdered],
    },
    Plant {
        what: "another drink was made",
        place: Place::Barista,
        sql: "update drinks set drink = 'espresso' where order_id = '{id}' and line = 1",
        settled: &[NotMadeAsOrdered],
        running: &[NotMadeAsOrdered],
    },
    Plant {
        what: "something is made of which nobody knows",
        place: Place::Barista,
        sql: "insert into tickets (order_id, state, revision, order_revision, drinks_total, \
                  drinks_made, create_time, update_time) \
                  values ('{new}', 'QUEUED', 1, 2, 1, 0, now(), now()); \
              insert into ticket_history values ('{new}', 1, 'QUEUED', now())",
        settled: &[MadeUnpaid],
        running: &[MadeUnpaid],
    },
    Plant {
        what: "an order was not charged",
        place: Place::Payments,
        sql: "delete from payments where order_id = '{id}'",
        settled: &[NotChargedOnce],
        running: &[NotChargedOnce],
    },
    Plant {
        what: "another amount was charged",
        place: Place::Payments,
        sql: "update payments set amount_minor = amount_minor + 1 where order_id = '{id}'",
        settled: &[NotChargedOnce],
        running: &[NotChargedOnce],
    },
    Plant {
        what: "a charge has another key than its order's id",
        place: Place::Payments,
        sql: "update payments set idempotency_key = 'mine' where order_id = '{id}'",
        settled: &[NotChargedOnce],
        running: &[NotChargedOnce],
    },
    Plant {
        what: "a charge was given back, and the coffee drunk",
        place: Place::Payments,
        sql: "insert into refunds select '{new_payment}', null, payment_id, amount_minor, \
                  currency_code, '', now() from payments where order_id = '{id}'; \
              update payments set state = 'REFUNDED', refunded_minor = amount_minor \
                  where order_id = '{id}'",
        settled: &[NotChargedOnce],
        running: &[NotChargedOnce],
    },
    Plant {
        what: "a charge was closed like one that never was",
        place: Place::Payments,
        sql: "update payments set (state, order_id, amount_minor, currency_code, token_sha256) \
                  = row ('CANCELLED', null, null, null, null) where order_id = '{id}'",
        settled: &[NotChargedOnce],
        running: &[NotChargedOnce],
    },
    Plant {
        what: "a charge was given back twice",
        place: Place::Payments,
        sql: "insert into refunds select gen_random_uuid(), null, payment_id, amount_minor, \
                  currency_code, '', now() from payments, generate_series(1, 2) \
                  where order_id = '{id}'; \
              update payments set state = 'REFUNDED', refunded_minor = amount_minor \
                  where order_id = '{id}'",
        settled: &[NotChargedOnce, GivenBackWrong],
        running: &[NotChargedOnce, GivenBackWrong],
    },
    Plant {
        what: "a part of a charge was given back",
        place: Place::Payments,
        sql: "insert into refunds select '{new_payment}', null, payment_id, 1, currency_code, \
                  '', now() from payments where order_id = '{id}'",
        settled: &[GivenBackWrong],
        running: &[GivenBackWrong],
    },
    Plant {
        what: "a charge is said to be given back, and was not",
        place: Place::Payments,
        sql: "update payments set state = 'REFUNDED', refunded_minor = amount_minor \
                  where order_id = '{id}'",
        settled: &[GivenBackWrong],
        running: &[GivenBackWrong],
    },
    Plant {
        what: "an order was charged twice",
        place: Place::Payments,
        sql: "insert into payments select '{new_payment}', 'again', order_id, amount_minor, \
                  currency_code, token_sha256, state, decline_reason, refunded_minor, create_time \
              from payments where order_id = '{id}'",
        settled: &[NotChargedOnce, ChargedTwice],
        running: &[NotChargedOnce, ChargedTwice],
    },
    Plant {
        what: "an order is charged of which nobody knows",
        place: Place::Payments,
        sql: "insert into payments select '{new_payment}', '{new}', '{new}', amount_minor, \
                  currency_code, token_sha256, state, decline_reason, refunded_minor, create_time \
              from payments limit 1",
        settled: &[ChargedForNothing],
        running: &[ChargedForNothing],
    },
    Plant {
        what: "a charged order ended as DECLINED",
        place: Place::Reception,
        sql: "delete from order_history where order_id = '{id}' and revision > 2; \
              update order_history set state = 'DECLINED' where order_id = '{id}' and revision = 2; \
              update orders set state = 'DECLINED', revision = 2 where order_id = '{id}'",
        settled: &[MadeUnpaid, ChargedForNothing],
        running: &[MadeUnpaid, ChargedForNothing],
    },
    Plant {
        what: "an order failed, and nobody owes its money",
        place: Place::Reception,
        sql: "update order_history set state = 'FAILED' where order_id = '{id}' and state = 'READY'; \
              update orders set state = 'FAILED' where order_id = '{id}'",
        settled: &[RefundWrong, ChargedForNothing, TicketDisagrees],
        running: &[RefundWrong, ChargedForNothing, TicketDisagrees],
    },
    Plant {
        what: "an order failed, its money is owed, and its coffee is made",
        place: Place::Reception,
        sql: "update order_history set state = 'FAILED' where order_id = '{id}' and state = 'READY'; \
              update orders set state = 'FAILED', refund_state = 'PENDING' where order_id = '{id}'",
        settled: &[Unfinished, TicketDisagrees],
        running: &[TicketDisagrees],
    },
    Plant {
        what: "an order was cancelled, its money is owed, and its coffee is made",
        place: Place::Reception,
        sql: "update order_history set state = 'CANCELLED' \
                  where order_id = '{id}' and state = 'READY'; \
              update orders set state = 'CANCELLED', refund_state = 'PENDING' \
                  where order_id = '{id}'",
        settled: &[Unfinished, TicketDisagrees],
        running: &[TicketDisagrees],
    },
    Plant {
        what: "a wish to cancel was never answered",
        place: Place::Reception,
        sql: "update orders set cancel_state = 'REQUESTED' where order_id = '{id}'",
        settled: &[Unfinished],
        running: &[],
    },
    Plant {
        what: "a refund is said to be done, and is not",
        place: Place::Reception,
        sql: "update order_history set state = 'FAILED' where order_id = '{id}' and state = 'READY'; \
              update orders set state = 'FAILED', refund_state = 'DONE' where order_id = '{id}'",
        settled: &[RefundWrong, TicketDisagrees],
        running: &[RefundWrong, TicketDisagrees],
    },
    Plant {
        what: "a refund is owed for coffee that was made",
        place: Place::Reception,
        sql: "update orders set refund_state = 'PENDING' where order_id = '{id}'",
        settled: &[Unfinished, RefundWrong],
        running: &[RefundWrong],
    },
    Plant {
        what: "a ticket failed, and its order was never told",
        place: Place::Barista,
        sql: "update ticket_history set state = 'FAILED' where order_id = '{id}' and state = 'READY'; \
              update tickets set state = 'FAILED' where order_id = '{id}'",
        settled: &[TicketDisagrees],
        running: &[TicketDisagrees],
    },
    Plant {
        what: "a revision of an order is missing",
        place: Place::Reception,
        sql: "delete from order_history where order_id = '{id}' and revision = 2",
        settled: &[OrderHistoryBroken],
        running: &[OrderHistoryBroken],
    },
    Plant {
        what: "an order went backwards",
        place: Place::Reception,
        sql: "insert into order_history \
                  select order_id, revision + 1, 'PAID', now(), '' from orders where order_id = '{id}'; \
              insert into order_history \
                  select order_id, revision + 2, 'READY', now(), '' from orders where order_id = '{id}'; \
              update orders set revision = revision + 2 where order_id = '{id}'",
        settled: &[OrderHistoryBroken],
        running: &[OrderHistoryBroken],
    },
    Plant {
        what: "an order is not in the state that its history ends with",
        place: Place::Reception,
        sql: "update orders set state = 'COLLECTED' where order_id = '{id}'",
        settled: &[OrderHistoryBroken],
        running: &[OrderHistoryBroken],
    },
    Plant {
        what: "a revision of a ticket is missing",
        place: Place::Barista,
        sql: "delete from ticket_history where order_id = '{id}' and revision = 2",
        settled: &[TicketHistoryBroken],
        running: &[TicketHistoryBroken],
    },
    Plant {
        what: "a ticket went backwards",
        place: Place::Barista,
        sql: "update ticket_history set state = 'READY' where order_id = '{id}' and revision = 1",
        settled: &[TicketHistoryBroken],
        running: &[TicketHistoryBroken],
    },
    Plant {
        what: "an order is READY, and its ticket is not",
        place: Place::Barista,
        sql: "delete from ticket_history where order_id = '{id}' and state = 'READY'; \
              update tickets set state = 'STARTED', revision = 2 where order_id = '{id}'",
        settled: &[TicketDisagrees],
        running: &[TicketDisagrees],
    },
];

/// How an order ended without coffee, and what became of its money.
struct Ending {
    what: &'static str,
    refund_state: &'static str,
    /// Of the provider; `{id}` is the order.
    sql: &'static str,
    wrong: &'static [Rule],
    owed_minor: i64,
}

const GIVEN_BACK: &str = "insert into refunds select gen_random_uuid(), null, payment_id, \
        amount_minor, currency_code, '', now() from payments where order_id = '{id}'; \
    update payments set state = 'REFUNDED', refunded_minor = amount_minor where order_id = '{id}'";
const NEVER_CHARGED: &str = "update payments \
    set (state, order_id, amount_minor, currency_code, token_sha256) \
        = row ('CANCELLED', null, null, null, null) where order_id = '{id}'";

const ENDINGS: &[Ending] = &[
    Ending {
        what: "the money is back, and the order says so",
        refund_state: "DONE",
        sql: GIVEN_BACK,
        wrong: &[],
        owed_minor: 0,
    },
    Ending {
        what: "the money is owed",
        refund_state: "PENDING",
        sql: "",
        wrong: &[Unfinished],
        owed_minor: 420,
    },
    Ending {
        what: "the money is back, and the order was not told yet",
        refund_state: "PENDING",
        sql: GIVEN_BACK,
        wrong: &[Unfinished],
        owed_minor: 0,
    },
    Ending {
        what: "the money is said to be back, and is kept",
        refund_state: "DONE",
        sql: "",
        wrong: &[RefundWrong],
        owed_minor: 0,
    },
    Ending {
        what: "the money is said to be back, and was never taken",
        refund_state: "DONE",
        sql: NEVER_CHARGED,
        wrong: &[RefundWrong],
        owed_minor: 0,
    },
];

#[tokio::test]
async fn of_an_order_that_ended_without_coffee_nothing_is_kept_unless_it_is_owed() {
    let shop = crate::open().await;
    let mut orders = Vec::new();
    for _ in ENDINGS {
        orders.push(shop.place(latte()).await);
    }
    shop.until_idle().await;
    stop(&shop).await;
    for (ending, order) in ENDINGS.iter().zip(orders) {
        let owed_before = owed_minor(&shop).await;
        end(&shop, ending, &order).await;
        let found: Vec<Rule> = findings(&shop, true)
            .await
            .into_iter()
            .filter(|(_, id)| *id == order.order_id)
            .map(|(rule, _)| rule)
            .collect();
        assert_eq!(found, ending.wrong, "{}", ending.what);
        let owed = owed_minor(&shop).await - owed_before;
        assert_eq!(owed, ending.owed_minor, "{}", ending.what);
    }
    shop.discard().await;
}

async fn end(shop: &Shop, ending: &Ending, order: &Order) {
    let (id, refund_state) = (&order.order_id, ending.refund_state);
    let cancelled = format!(
        "update order_history set state = 'CANCELLED' where order_id = '{id}' and state = 'READY'; \
         update orders set state = 'CANCELLED', refund_state = '{refund_state}' \
             where order_id = '{id}'"
    );
    let not_made = format!(
        "delete from drinks where order_id = '{id}'; \
         update ticket_history set state = 'CANCELLED' where order_id = '{id}' and state = 'READY'; \
         update tickets set state = 'CANCELLED', drinks_made = 0 where order_id = '{id}'"
    );
    execute(&shop.reception_pool(), &cancelled).await;
    execute(&shop.barista_pool(), &not_made).await;
    execute(&shop.payments_pool(), &ending.sql.replace("{id}", id)).await;
}

async fn owed_minor(shop: &Shop) -> i64 {
    let books = shop.books(true).await.expect("the databases are up");
    books.summary.owed_minor
}

#[tokio::test]
async fn a_shop_with_wrong_books_does_not_close() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    execute(&shop.payments_pool(), "delete from payments").await;
    let closed = AssertUnwindSafe(shop.close()).catch_unwind().await;
    let said = closed.expect_err("an order was not charged");
    let said = said.downcast::<String>().expect("panics are words");
    assert!(said.contains("the books are wrong"), "{said}");
}

#[tokio::test]
#[should_panic(expected = "nobody checked its books")]
async fn a_shop_that_is_not_closed_fails_its_test() {
    drop(crate::open().await);
}

fn two_lattes_and_a_tea() -> proto::reception::v1::PlaceOrderRequest {
    let mut order = latte();
    order.items = vec![item("latte", "large", 2), item("tea", "small", 1)];
    order
}

/// Nobody else writes from now on.
async fn stop(shop: &Shop) {
    for service in [&shop.reception, &shop.barista, &shop.payments] {
        service.stop().await.expect("it ends well");
    }
}

/// Rule and order of each finding.
async fn findings(shop: &Shop, settled: bool) -> BTreeSet<(Rule, String)> {
    let books = shop.books(settled).await.expect("the databases are up");
    let findings = books.findings.into_iter();
    findings
        .map(|finding| (finding.rule, finding.order_id.to_string()))
        .collect()
}

async fn put(shop: &Shop, plant: &Plant, order: &Order) -> String {
    let new = Uuid::now_v7().to_string();
    let sql = plant
        .sql
        .replace("{id}", &order.order_id)
        .replace("{new}", &new);
    let sql = sql.replace("{new_payment}", &Uuid::now_v7().to_string());
    let pool = match plant.place {
        Place::Reception => shop.reception_pool(),
        Place::Barista => shop.barista_pool(),
        Place::Payments => shop.payments_pool(),
    };
    execute(&pool, &sql).await;
    new
}

async fn drop_constraints(shop: &Shop) {
    execute(
        &shop.reception_pool(),
        "alter table order_history drop constraint order_history_pkey; \
         alter table orders drop constraint orders_refund_owed_without_coffee, \
             drop constraint orders_token_only_while_pending",
    )
    .await;
    execute(
        &shop.payments_pool(),
        "alter table refunds drop constraint refunds_payment_id_key",
    )
    .await;
    execute(
        &shop.barista_pool(),
        "alter table drinks drop constraint drinks_pkey, \
             drop constraint drinks_barista_unless_waiting, drop constraint drinks_time_when_made; \
         alter table tickets drop constraint tickets_ready_when_made, \
             drop constraint tickets_reason_when_failed",
    )
    .await;
}

async fn execute(pool: &PgPool, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
