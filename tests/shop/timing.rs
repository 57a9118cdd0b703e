use shop::customers::latte;
use std::time::Instant;
#[tokio::test]
async fn timing() {
    for _ in 0..3 {
    let t = Instant::now();
    let shop = crate::open().await;
    eprintln!("open {:?}", t.elapsed()); let t = Instant::now();
    let order = shop.place(latte()).await;
    eprintln!("place {:?}", t.elapsed()); let t = Instant::now();
    shop.until_ready(&order).await;
    eprintln!("ready {:?}", t.elapsed()); let t = Instant::now();
    let order = shop.place(latte()).await;
    eprintln!("place {:?}", t.elapsed()); let t = Instant::now();
    shop.until_ready(&order).await;
    eprintln!("ready {:?}", t.elapsed()); let t = Instant::now();
    shop.until_idle().await;
    eprintln!("idle {:?}", t.elapsed()); let t = Instant::now();
    let b = shop.books(true).await.unwrap();
    eprintln!("books {:?}\n{b}", t.elapsed()); let t = Instant::now();
    shop.reception.stop().await.unwrap();
    eprintln!("stop reception {:?}", t.elapsed()); let t = Instant::now();
    shop.barista.stop().await.unwrap();
    eprintln!("stop barista {:?}", t.elapsed()); let t = Instant::now();
    shop.discard().await;
    eprintln!("discard {:?}", t.elapsed()); 
    }
}
