use std::{path::Path, time::Instant};
use shop::{postgres, servers::Servers};
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let t = Instant::now();
    let s = Servers::open_ephemeral(Path::new("/tmp/h/logs")).await?;
    println!("open {:?} {} {}", t.elapsed(), s.postgres_admin_url(), s.kafka_brokers());
    let t = Instant::now();
    let url = postgres::create_database(s.postgres_admin_url(), "abc", "abc").await?;
    println!("{url} {:?}", t.elapsed());
    postgres::create_database(s.postgres_admin_url(), "abc", "abc").await?;
    postgres::drop_database(s.postgres_admin_url(), "abc", "abc").await?;
    if std::env::args().nth(1).as_deref() == Some("hang") { println!("pid {}", std::process::id()); std::future::pending::<()>().await; }
    for _ in 0..2 {
    let t = Instant::now();
    s.kafka.kill9().await?; println!("killed {:?}", t.elapsed()); s.kafka.restart().await?; s.kafka.ready().await?; println!("kafka again {:?}", t.elapsed());
    let t = Instant::now();
    s.postgres.kill9().await?; s.postgres.restart().await?; s.postgres.ready().await?; println!("pg again {:?}", t.elapsed());
    }
    s.kafka.pause().await?; s.kafka.resume().await?;
    let t = Instant::now();
    println!("kafka rc {}", s.kafka.terminate().await?);
    println!("pg rc {} {:?}", s.postgres.terminate().await?, t.elapsed());
    s.close().await?;
    Ok(())
}
