//! From PlaceOrder to READY, and all that can be asked on the way.

use shop::customers::latte;

#[tokio::test]
async fn an_order_becomes_ready() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.close().await;
}
