//! One step of a schema: who waits for it, who may take it, and who refuses what it finds.

use super::schema::{migrate, pool, today};
use crate::count;
use futures::future::join_all;
use shop::{
    customers::latte,
    harness::{Options, Shop, eventually},
    services::Service,
};
use sqlx::{
    Connection as _, PgConnection, PgPool, SqlSafeStr as _,
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
    until_one(pool, "the migration to wait", waiting).await;
}

async fn until_one(pool: &PgPool, what: &str, counted: &'static str) {
    eventually(what, async || match count(pool, counted).await {
        1 => Ok(()),
        counted => Err(counted),
    })
    .await;
}

#[tokio::test]
async fn autovacuum_gives_way_to_a_migration() {
    let shop = crate::open_with(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let pool = shop.reception_pool();
    // Some hundred pages to look at, one every tenth of a second.
    let slow = "create table receipts (receipt text) with (autovacuum_vacuum_threshold = 0, \
            autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, \
            autovacuum_vacuum_cost_limit = 1); \
        insert into receipts select repeat('x', 200) from generate_series(1, 20000); \
        delete from receipts";
    let made = sqlx::raw_sql(slow).execute(&pool).await;
    made.expect("the table is new");
    vacuums_often(&shop).await;
    let vacuuming = "select count(*) from pg_locks where granted \
        and relation = 'receipts'::regclass and mode = 'ShareUpdateExclusiveLock'";
    until_one(&pool, "autovacuum to come", vacuuming).await;

    let paper = "alter table receipts add column paper text";
    let started = starts(&shop, [next("paper", paper, false)]).await;
    started.expect("autovacuum gives way");
    let to_its_end = "select autovacuum_count from pg_stat_user_tables where relname = 'receipts'";
    assert_eq!(count(&pool, to_its_end).await, 0);
    shop.close().await;
}

async fn vacuums_often(shop: &Shop) {
    let url = shop.servers.postgres_admin_url();
    let mut admin = PgConnection::connect(url).await.expect("Postgres is up");
    for setting in [
        "alter system set autovacuum_naptime = '1s'",
        "select pg_reload_conf()",
    ] {
        let set = sqlx::query(setting).execute(&mut admin).await;
        set.expect("the superuser may set it");
    }
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
async fn an_index_that_somebody_is_building_is_left_to_them() {
    let shop = crate::open().await;
    let pool = shop.reception_pool();
    let mut writer = pool.begin().await.expect("the database is up");
    let lock = "lock table menu_items in row exclusive mode";
    let locked = sqlx::query(lock).execute(&mut *writer).await;
    locked.expect("nobody else has it");

    let statement = "create index concurrently if not exists menu_items_size on menu_items (size)";
    let built = by_hand(&shop, statement);
    let meanwhile = async {
        let unfinished = "select count(*) from pg_index join pg_class on oid = indexrelid \
            where relname = 'menu_items_size' and not indisvalid";
        until_one(&pool, "the index to be begun", unfinished).await;
        let before = oid(&pool).await;
        let ends = async {
            let waits = "select count(*) from pg_locks where not granted \
                and relation = 'menu_items'::regclass and mode = 'ShareUpdateExclusiveLock'";
            let gives_up = "select 1 - count(*) from pg_locks where not granted \
                and relation = 'menu_items'::regclass and mode = 'ShareUpdateExclusiveLock'";
            until_one(&pool, "the migration to wait", waits).await;
            until_one(&pool, "the migration to give up for now", gives_up).await;
            writer.rollback().await.expect("the database is up");
        };
        let migration = next("size", statement, true);
        let (started, ()) = tokio::join!(starts(&shop, [migration]), ends);
        started.expect("there is nothing to do");
        assert_eq!(oid(&pool).await, before, "it was dropped and built anew");
    };
    tokio::join!(built, meanwhile);
    shop.close().await;
}

/// By the owner of the table, without limits.
async fn by_hand(shop: &Shop, statement: &'static str) {
    let url = shop.database_url(Service::Reception);
    let mut owner = PgConnection::connect(url).await.expect("Postgres is up");
    let done = sqlx::query(statement).execute(&mut owner).await;
    done.expect("nobody else builds it");
}

async fn oid(pool: &PgPool) -> i64 {
    count(pool, "select 'menu_items_size'::regclass::oid::bigint").await
}

#[tokio::test]
async fn an_index_of_somebody_else_is_left_alone_even_if_it_was_cut_off() {
    let shop = crate::open().await;
    let cut_off = "create unique index concurrently by_hand on menu_items (size)";
    let cut_off = sqlx::query(cut_off).execute(&shop.reception_pool()).await;
    cut_off.expect_err("sizes are not unique");
    let index = "create index concurrently if not exists menu_items_size on menu_items (size)";
    let started = starts(&shop, [next("size", index, true)]).await;
    started.expect("it has a name of its own");
    let there = "select count(*) from pg_class where relname in ('by_hand', 'menu_items_size')";
    assert_eq!(count(&shop.reception_pool(), there).await, 2);
    shop.close().await;
}

#[tokio::test]
async fn the_way_back_of_a_migration_is_not_taken() {
    let shop = crate::open().await;
    let there = next(
        "channel",
        "alter table orders add column channel text",
        false,
    );
    let back = Migration::new(
        NEXT,
        "channel".into(),
        MigrationType::ReversibleDown,
        "alter table orders drop column channel".into_sql_str(),
        false,
    );
    let started = starts(&shop, [back, there]).await;
    started.expect("there is one migration of that number");
    let columns = "select count(*) from pg_attribute \
        where attrelid = 'orders'::regclass and attname = 'channel' and not attisdropped";
    assert_eq!(count(&shop.reception_pool(), columns).await, 1);
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
