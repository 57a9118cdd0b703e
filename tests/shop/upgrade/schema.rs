//! The schema of a version to come: the migrations of today, and those beside this file.

use lifecycle::{Stop, postgres};
use shop::{harness::Shop, services::Service};
use sqlx::{
    PgPool,
    migrate::{Migration, Migrator},
};
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Migrates the database of a service as the next version of it does when it starts.
pub async fn next(shop: &Shop, service: Service) {
    let mut migrations = today(service).await;
    let added = Path::new(ROOT)
        .join("tests/shop/upgrade")
        .join(service.name());
    migrations.extend(read(added).await);
    let migrated = migrate(&pool(shop, service), migrations).await;
    migrated.unwrap_or_else(|error| panic!("the next {}: {error}", service.name()));
}

/// The migrations of this version.
pub async fn today(service: Service) -> Vec<Migration> {
    let folder = format!("services/{}/migrations", service.name());
    read(Path::new(ROOT).join(folder)).await
}

async fn read(folder: PathBuf) -> Vec<Migration> {
    let read = Migrator::new(folder)
        .await
        .expect("the folder holds migrations");
    read.iter().cloned().collect()
}

/// Does what a service does at its start. An error is what it ends with.
pub async fn migrate(pool: &PgPool, migrations: Vec<Migration>) -> Result<(), String> {
    let migrator = Migrator::with_migrations(migrations);
    let migrated = postgres::migrate(pool, &migrator, &Stop::new()).await;
    migrated.map_err(|error| format!("{error:#}"))
}

/// Connections as a service makes them.
pub fn pool(shop: &Shop, service: Service) -> PgPool {
    let options = postgres::Options::new(shop.database_url(service), 1);
    postgres::pool(&options, service.name()).expect("the URL is valid")
}
