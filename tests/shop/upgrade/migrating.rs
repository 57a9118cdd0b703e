//! One step of a schema: who waits for it, who may take it, and who refuses what it finds.

use super::schema::{migrate, pool, today};
use crate::count;
use futures::future::join_all;
use shop::{
    customers::latte,
    harness::{Shop, eventually},
    services::Service,
};
use sqlx::{
    PgPool, SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};

const NEXT: i64 = 9001;

#[tokio::test]
async fn nobody_waits_behind_a_migration_of_a_table_that_is_in_use() {
    let shop = crate::open().await;
    let mut backup = shop
        .reception_pool()
        .begin()
        .await
        .expect("the database is up");
    sqlx::query("select count(*) from orders")
        .execute(&mut *backup)
        .await
        .expect("it reads for as long as it likes");

    let ordering = async {
        until_one_waits(&shop.reception_pool()).await;
        for _ in 0..20 {
            shop.place(latte()).await;
        }
        backup.rollback().await.expect("the database is up");
    };
    let channel = next(
        "channel",
        "alter table orders add column channel text",
        false,
    );
    let (migrated, ()) = tokio::join!(starts(&shop, [channel]), ordering);
    migrated.expect("the table is free at last");
    shop.close().await;
}

/// For a lock that nobody shares.
async fn until_one_waits(pool: &PgPool) {
    let waiting = "select count(*) from pg_locks where not granted \
        and relation = 'orders'::regclass and mode = 'AccessExclusiveLock'";
    eventually("the migration to wait", async || {
        match count(pool, waiting).await {
            1 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
}

#[tokio::test]
async fn instances_that_start_at_once_migrate_once() {
    let shop = crate::open().await;
    let slow = "create table couriers (courier text); select pg_sleep(0.3)";
    let next = next("couriers", slow, false);
    let instances = join_all((0..4).map(|_| starts(&shop, [next.clone()]))).await;
    for started in instances {
        started.expect("who comes second finds it done");
    }
    shop.close().await;
}

#[tokio::test]
async fn an_index_that_was_cut_off_is_begun_anew() {
    let shop = crate::open().await;
    let cut_off = "create unique index concurrently orders_channel on menu_items (size)";
    let cut_off = sqlx::query(cut_off).execute(&shop.reception_pool()).await;
    cut_off.expect_err("sizes are not unique");
    let usable = "select count(*) from pg_index \
        where indexrelid = 'orders_channel'::regclass and indisvalid";
    assert_eq!(count(&shop.reception_pool(), usable).await, 0);

    let index = "create index concurrently if not exists orders_channel on menu_items (size)";
    let started = starts(&shop, [next("index", index, true)]).await;
    started.expect("the name is free again");
    assert_eq!(count(&shop.reception_pool(), usable).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_version_refuses_a_schema_of_which_a_newer_one_has_taken_away_what_it_needs() {
    let shop = crate::open().await;
    let added = next(
        "channel",
        "alter table orders add column channel text",
        false,
    );
    starts(&shop, [added.clone()]).await.expect("it adds");
    let nothing_new: [Migration; 0] = [];
    starts(&shop, nothing_new.clone())
        .await
        .expect("it knows enough");

    let contraction = Migration {
        version: NEXT + 1,
        ..next(
            "contract 9001 history",
            "alter table order_history drop column detail",
            false,
        )
    };
    let newest = [added.clone(), contraction];
    starts(&shop, newest).await.expect("it takes away");
    starts(&shop, [added]).await.expect("it does not need it");
    let refused = starts(&shop, nothing_new).await.expect_err("it needs it");
    assert_eq!(
        refused,
        "migrating the database: a newer version has taken away what this one needs (migration 9002: \
         contract 9001 history); start one that knows migration 9001"
    );
    shop.discard().await;
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_had_landed_is_refused() {
    let shop = crate::open().await;
    let landed = next(
        "channel",
        "alter table orders add column channel text",
        false,
    );
    starts(&shop, [landed]).await.expect("it adds");
    let edited = next(
        "channel",
        "alter table orders add column channel integer",
        false,
    );
    let refused = starts(&shop, [edited]).await.expect_err("it is another");
    assert!(
        refused.contains("migration 9001 was edited after this database had it"),
        "{refused}"
    );
    shop.close().await;
}

/// What the next version adds.
fn next(description: &'static str, sql: &'static str, no_tx: bool) -> Migration {
    let (description, sql) = (description.into(), sql.into_sql_str());
    Migration::new(NEXT, description, MigrationType::Simple, sql, no_tx)
}

/// A reception starts that has these migrations, too.
async fn starts(shop: &Shop, more: impl IntoIterator<Item = Migration>) -> Result<(), String> {
    let mut migrations = today(Service::Reception).await;
    migrations.extend(more);
    migrate(&pool(shop, Service::Reception), migrations).await
}
