#[path = "../../../tests/shop/brewing.rs"]
mod brewing;
use sqlx::{PgPool, Executor};
pub struct Shop(PgPool);
impl Shop { pub fn barista_pool(&self) -> PgPool { self.0.clone() } }
pub async fn open() -> Shop {
    let admin = PgPool::connect("postgres://postgres@127.0.0.1:55471/postgres").await.unwrap();
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    admin.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let pool = PgPool::connect(&format!("postgres://postgres@127.0.0.1:55471/{name}")).await.unwrap();
    barista::MIGRATIONS.run(&pool).await.unwrap();
    Shop(pool)
}
