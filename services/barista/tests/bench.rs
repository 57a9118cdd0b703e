use barista::{brewing::{self, Workforce}, store::{self, NewDrink, NewTicket, Recipe}, ticket::Ticket};
use sqlx::{Executor, PgPool};
use std::{sync::Arc, time::{Duration, Instant}};
use uuid::Uuid;
#[tokio::test(flavor = "multi_thread")]
async fn bench() {
    let n: i32 = std::option_env!("N").unwrap_or("100000").parse().unwrap();
    let admin = PgPool::connect("postgres://postgres@127.0.0.1:55471/postgres").await.unwrap();
    for (baristas, per) in [(200, 2)] {
    admin.execute("drop database if exists bench with (force)").await.unwrap();
    admin.execute("create database bench").await.unwrap();
    let pool = PgPool::connect("postgres://postgres@127.0.0.1:55471/bench").await.unwrap();
    barista::MIGRATIONS.run(&pool).await.unwrap();
    if baristas > 4 { sqlx::query("insert into baristas select 'b'||i, 'B', case i % 4 when 0 then '{espresso,filter,tea}'::text[] when 1 then '{espresso}' when 2 then '{tea}' else '{espresso,filter}' end from generate_series(5,$1) i").bind(baristas).execute(&pool).await.unwrap(); }
    let recipes = { let mut c = pool.acquire().await.unwrap(); store::recipes(&mut c).await.unwrap() };
    let t = Instant::now();
    for chunk in 0..(n / per / 200) {
        let new: Vec<_> = (0..200).map(|i| { let order_id = Uuid::now_v7(); NewTicket {
            ticket: Ticket::queued(order_id, per, Default::default()), order_revision: 2,
            drinks: (0..per).map(|unit| NewDrink { order_id, line: 0, unit, recipe: recipes[((chunk*7+i+unit) as usize) % recipes.len()].clone() }).collect() } }).collect();
        let mut tx = pool.begin().await.unwrap();
        store::queue(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
    }
    println!("{baristas} baristas, {per} a ticket: queued {n} in {:?}", t.elapsed());
    let _: Recipe = recipes[0].clone();
    let options = brewing::Options { brew_scale: 0.0, drink_lease: Duration::from_secs(5) };
    let mut w = Workforce::new(pool.clone(), &options, Arc::new(tokio::sync::Notify::new()), Default::default());
    let t = Instant::now(); let (mut rounds, mut booked) = (0, 0);
    while booked < n as usize { booked += w.step().await.unwrap().booked; rounds += 1; if rounds % 500 == 0 && t.elapsed() > Duration::from_secs(60) { break } }
    let e = t.elapsed();
    println!("   made {booked} in {e:?} = {:.0}/s, {rounds} rounds, {:.2} ms each", booked as f64 / e.as_secs_f64(), e.as_secs_f64()*1000.0/rounds as f64);
    }
}
