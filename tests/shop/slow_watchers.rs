//! Whoever watches and does not read, or is gone, holds nothing for long, and can go on later.

use crate::{
    reason,
    watching::{Seen, next, watch, watch_order},
};
use proto::{
    barista::v1::{
        ListTicketsRequest, WatchTicketsRequest, barista_service_client::BaristaServiceClient,
    },
    operations::v1::{
        WatchCircuitsRequest, circuits_service_client::CircuitsServiceClient,
        watch_circuits_response,
    },
    reception::v1::{
        GetOrderRequest, Order, OrderState, WatchOrderRequest, WatchOrderResponse,
        get_order_request::By, reception_service_client::ReceptionServiceClient,
        watch_order_response,
    },
};
use shop::{
    customers::{espresso, latte},
    fault::Proxy,
    harness::{Options, Shop, eventually, patience},
    services::Service,
};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// What `WatchTickets` has room for.
const PLACES: usize = 64;

#[tokio::test]
async fn watchers_of_tickets_who_do_not_read_make_room_and_go_on_without_a_gap() {
    let options = Options::default().with(Service::Barista, "WATCH_PATIENCE", "500ms");
    let shop = crate::open_with(options).await;
    let mut barista = BaristaServiceClient::new(narrow(&shop.barista.url()));
    let mut asleep = Vec::new();
    for _ in 0..PLACES {
        let watching = barista.watch_tickets(WatchTicketsRequest::default()).await;
        asleep.push(watching.expect("there is room").into_inner());
    }
    let refused = watch(&shop.barista, "").await.expect_err("there is none");
    assert_eq!(reason(&refused), "OVERLOADED");

    place(&shop, 4).await;
    // As many as there are places: so all of them were left.
    let mut awake = Vec::new();
    for _ in 0..PLACES {
        awake.push(eventually("room", async || watch(&shop.barista, "").await).await);
    }
    let listed = barista.list_tickets(ListTicketsRequest::default()).await;
    listed.expect("other calls on that connection go on");
    shop.until_idle().await;
    drop(awake);

    let (mut seen, mut woken) = (Seen::default(), asleep.remove(0));
    let word = seen.until_it_ends(&mut woken).await;
    assert_eq!(
        (word.code(), reason(&word).as_str()),
        (Code::Aborted, "WATCHER_TOO_SLOW")
    );
    let mut watching = watch(&shop.barista, &seen.token).await.expect("it resumes");
    seen.until_ready(&mut watching, 4).await;
    place(&shop, 1).await;
    seen.until_ready(&mut watching, 5).await;
    assert_eq!(seen.repeats, 0);
    shop.close().await;
}

#[tokio::test]
async fn watchers_of_tickets_who_do_not_read_keep_nobody_else_from_hearing() {
    let options = Options::default()
        .with(Service::Barista, "WATCH_HEARTBEAT", "50ms")
        .with(Service::Barista, "WATCH_PATIENCE", "1h");
    let shop = crate::open_with(options).await;
    let mut barista = BaristaServiceClient::new(narrow(&shop.barista.url()));
    let mut asleep = Vec::new();
    // More than read at a time.
    for _ in 0..4 {
        let watching = barista.watch_tickets(WatchTicketsRequest::default()).await;
        asleep.push(watching.expect("there is room").into_inner());
    }
    let (mut seen, mut awake) = (Seen::default(), watch(&shop.barista, "").await);
    let awake = awake.as_mut().expect("there is room");
    // What they are sent, it hears, too: more than they have room for.
    for _ in 0..20 {
        in_time(awake).await;
    }
    place(&shop, 4).await;
    seen.until_ready(awake, 4).await;
    for _ in 0..5 {
        in_time(awake).await;
    }
    drop(asleep);
    shop.close().await;
}

#[tokio::test]
async fn a_watcher_of_an_order_who_does_not_read_makes_room_and_goes_on_where_it_was() {
    let options = impatient("300ms").with(Service::Reception, "MAX_WATCHING", "1");
    let shop = crate::open_with(options).await;
    // Without a barista it stays PAID.
    shop.barista.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    let channel = narrow(&shop.reception.url());
    let mut asleep = watch_over(channel.clone(), &order).await.expect("room");
    let refused = watch_over(shop_channel(&shop), &order).await;
    assert_eq!(
        reason(&refused.expect_err("there is no room")),
        "OVERLOADED"
    );
    let other = eventually("room", async || {
        watch_over(shop_channel(&shop), &order).await
    })
    .await;
    drop(other);
    let by = Some(By::OrderId(order.order_id.clone()));
    let mut reception = ReceptionServiceClient::new(channel);
    let got = reception.get_order(GetOrderRequest { by }).await;
    got.expect("other calls on that connection go on");

    let paid = next(&mut asleep).await.expect("it was sent");
    let paid = paid.expect("it goes on");
    let word = next(&mut asleep).await.expect_err("nobody took more");
    assert_eq!(reason(&word), "WATCHER_TOO_SLOW");
    shop.barista.start().await.expect("it starts again");
    shop.until_ready(&order).await;
    let mut watching = resumed(&shop, &order, paid.revision).await;
    let ready = next(&mut watching).await.expect("it is well");
    let ready = ready.expect("it goes on");
    assert_eq!(ready.state(), OrderState::Ready);
    assert!(ready.revision > paid.revision);
    shop.close().await;
}

#[tokio::test]
async fn a_watcher_who_does_not_read_holds_up_no_stop() {
    let shop = crate::open_with(impatient("1h")).await;
    let order = shop.place(latte()).await;
    let asleep = watch_over(narrow(&shop.reception.url()), &order).await;
    let _asleep = asleep.expect("there is room");
    // What it is sent, somebody else hears, too: more than it has room for.
    let mut awake = watch_order(&shop.reception, &order.order_id, 0).await;
    for _ in 0..5 {
        heartbeat(&mut awake).await;
    }
    shop.reception.stop().await.expect("no call was cut off");
    shop.reception.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn a_watcher_whose_machine_is_gone_makes_room() {
    let options = Options::default()
        .with(Service::Reception, "KEEPALIVE", "3s")
        .with(Service::Reception, "MAX_WATCHING", "1");
    let shop = crate::open_with(options).await;
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    let proxy = Proxy::open(shop.reception.address()).await;
    let proxy = proxy.expect("a port is free");
    let gone = watch_over(wide(&format!("http://{}", proxy.address())), &order).await;
    let mut gone = gone.expect("there is room");
    next(&mut gone).await.expect("it is READY");
    proxy.black_hole();
    let admitted = eventually("room", async || {
        watch_over(shop_channel(&shop), &order).await
    });
    drop(admitted.await);
    assert!(proxy.counts().held > 0, "nobody asked whether it is there");
    shop.close().await;
}

#[tokio::test]
async fn an_idle_watcher_hears_as_often_as_was_promised_that_its_stream_is_alive() {
    let often = Duration::from_millis(500);
    let options = Options::default()
        .with(Service::Reception, "WATCH_HEARTBEAT", "500ms")
        .with(Service::Barista, "WATCH_HEARTBEAT", "500ms");
    let shop = crate::open_with(options).await;
    let order = shop.place(latte()).await;
    shop.until_idle().await;
    let ready = shop.get(&order.order_id).await.expect("it is there");
    let mut of_order = resumed(&shop, &order, ready.revision).await;
    let mut of_tickets = watch(&shop.barista, "").await.expect("it runs");
    of_tickets.message().await.expect("it begins with one");
    let mut circuits = CircuitsServiceClient::new(shop_channel(&shop));
    let of_circuits = circuits.watch_circuits(WatchCircuitsRequest {}).await;
    let mut of_circuits = of_circuits.expect("it runs").into_inner();
    of_circuits.message().await.expect("the circuit as it is");

    let begun = Instant::now();
    for _ in 0..4 {
        heartbeat(&mut of_order).await;
        let update = in_time(&mut of_tickets).await.update;
        let is_heartbeat = matches!(
            update,
            Some(proto::barista::v1::watch_tickets_response::Update::Heartbeat(_))
        );
        assert!(is_heartbeat, "{update:?}");
        let update = in_time(&mut of_circuits).await.update;
        let is_heartbeat = matches!(update, Some(watch_circuits_response::Update::Heartbeat(_)));
        assert!(is_heartbeat, "{update:?}");
    }
    // The first of them may have been begun before the clock.
    assert!(begun.elapsed() >= often * 3, "{:?}", begun.elapsed());
    shop.close().await;
}

/// Why a watcher of an order is told to resume that does not read. Needs [`impatient`].
pub async fn too_slow(shop: &Shop) -> Status {
    let order = shop.place(latte()).await;
    let asleep = watch_over(narrow(&shop.reception.url()), &order).await;
    let mut asleep = asleep.expect("there is room");
    // More is sent to somebody else than it has room for, and for longer than it is waited for.
    let mut awake = watch_order(&shop.reception, &order.order_id, 0).await;
    for _ in 0..20 {
        heartbeat(&mut awake).await;
    }
    loop {
        if let Err(word) = next(&mut asleep).await {
            return word;
        }
    }
}

/// A reception that says something all the time, and waits so long until it is taken.
pub fn impatient(patience: &str) -> Options {
    Options::default()
        .with(Service::Reception, "WATCH_HEARTBEAT", "50ms")
        .with(Service::Reception, "WATCH_PATIENCE", patience)
}

/// A connection whose streams have room for a few words that are not read.
fn narrow(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("the URL is our own");
    endpoint.initial_stream_window_size(64).connect_lazy()
}

/// A connection that finds out by itself no more than that it is closed.
fn wide(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("the URL is our own");
    endpoint.connect_lazy()
}

fn shop_channel(shop: &Shop) -> Channel {
    shop.reception.channel().expect("the URL is our own")
}

async fn watch_over(
    channel: Channel,
    order: &Order,
) -> Result<Streaming<WatchOrderResponse>, Status> {
    let request = WatchOrderRequest {
        order_id: order.order_id.clone(),
        after_revision: 0,
    };
    let mut client = ReceptionServiceClient::new(channel);
    Ok(client.watch_order(request).await?.into_inner())
}

/// Once there is room.
async fn resumed(shop: &Shop, order: &Order, after: i64) -> Streaming<WatchOrderResponse> {
    let request = WatchOrderRequest {
        order_id: order.order_id.clone(),
        after_revision: after,
    };
    let mut client = shop.reception_client();
    eventually("room", async || client.watch_order(request.clone()).await)
        .await
        .into_inner()
}

async fn heartbeat(watching: &mut Streaming<WatchOrderResponse>) {
    loop {
        let update = in_time(watching).await.update;
        if let Some(watch_order_response::Update::Heartbeat(_)) = update {
            return;
        }
    }
}

/// Sooner than without being asked for: every 15 s.
async fn in_time<T>(watching: &mut Streaming<T>) -> T {
    let update = timeout(patience().min(Duration::from_secs(14)), watching.message()).await;
    let update = update.expect("it comes in time").expect("it is well");
    update.expect("it goes on")
}

async fn place(shop: &Shop, orders: usize) {
    for _ in 0..orders {
        shop.place(espresso()).await;
    }
}
