//! From PlaceOrder to READY, and all that can be asked on the way.

use proto::{
    barista::v1::{DrinkState, ListTicketsRequest},
    reception::v1::{
        GetOrderRequest, Order, OrderState, PaymentState, WatchOrderRequest, get_order_request::By,
        watch_order_response::Update,
    },
};
use shop::{
    customers::{item, latte},
    harness::{Shop, patience},
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

#[tokio::test]
async fn an_order_is_placed_charged_made_and_ready_with_a_revision_for_each_step() {
    let shop = crate::open().await;
    let placed = shop.place(latte()).await;
    assert_eq!(placed.state(), OrderState::Paid);
    assert_eq!(placed.payment_state(), PaymentState::Charged);

    let ready = shop.until_ready(&placed).await;
    let mut steps: Vec<OrderState> = ready.history.iter().map(|entry| entry.state()).collect();
    // The event that says so may be overtaken by the one that says READY.
    steps.retain(|state| *state != OrderState::Preparing);
    let expected = [
        OrderState::AwaitingPayment,
        OrderState::Paid,
        OrderState::Ready,
    ];
    assert_eq!(steps, expected);
    let revisions: Vec<i64> = ready.history.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, (1..=ready.revision).collect::<Vec<_>>());
    assert!(ready.ready_time.is_some());
    shop.close().await;
}

#[tokio::test]
async fn the_server_computes_prices_from_its_menu() {
    let shop = crate::open().await;
    let mut request = latte();
    request.items = vec![
        item("latte", "large", 2),
        item("espresso", "double", 1),
        item("tea", "small", 3),
    ];
    let order = shop.place(request).await;
    let price = |money: &Option<proto::money::v1::Money>| {
        let money = money.as_ref().expect("prices are never absent");
        (money.amount_minor, money.currency_code.clone())
    };
    let lines: Vec<i64> = order
        .items
        .iter()
        .map(|line| price(&line.line_price).0)
        .collect();
    assert_eq!(lines, [840, 280, 720]);
    assert_eq!(price(&order.items[0].unit_price).0, 420);
    assert_eq!(price(&order.total), (1840, "EUR".to_owned()));

    shop.until_ready(&order).await;
    let ticket = tickets(&shop, ListTicketsRequest::default())
        .await
        .remove(0);
    assert_eq!(ticket.order_id, order.order_id);
    assert_eq!(ticket.drinks.len(), 6, "one drink a unit");
    assert!(
        ticket
            .drinks
            .iter()
            .all(|drink| drink.state() == DrinkState::Made)
    );
    shop.close().await;
}

#[tokio::test]
async fn a_watcher_sees_an_order_live_and_resumes_after_what_it_has_seen() {
    let shop = crate::open().await;
    // Without a barista the order stays PAID: whatever follows is seen as it happens.
    shop.barista.stop().await.expect("it ends well");
    let placed = shop.place(latte()).await;
    let mut watching = watch(&shop, &placed, 0).await.expect("the order exists");
    let paid = next(&mut watching).await;
    assert_eq!(paid.state(), OrderState::Paid);
    let mut resumed = watch(&shop, &placed, paid.revision)
        .await
        .expect("the order exists");
    shop.barista.start().await.expect("it starts again");

    let seen = until_ready(&mut watching).await;
    assert!(rise_from(paid.revision, &seen), "{seen:#?}");
    let ready = seen.last().expect("it has just been seen");
    let history: Vec<i64> = ready.history.iter().map(|entry| entry.revision).collect();
    assert_eq!(history, (1..=ready.revision).collect::<Vec<_>>());

    let seen = until_ready(&mut resumed).await;
    assert!(rise_from(paid.revision, &seen), "{seen:#?}");
    assert_eq!(seen.last(), Some(ready));
    let mut late = watch(&shop, &placed, ready.revision - 1)
        .await
        .expect("the order exists");
    assert_eq!(next(&mut late).await, *ready);
    shop.close().await;
}

/// A watcher may skip revisions, but none comes twice or late.
fn rise_from(revision: i64, seen: &[Order]) -> bool {
    let revisions = seen.iter().map(|order| order.revision);
    std::iter::once(revision)
        .chain(revisions)
        .is_sorted_by(|earlier, later| earlier < later)
}

#[tokio::test]
async fn watching_an_order_that_does_not_exist_is_not_found() {
    let shop = crate::open().await;
    let nobodys = Order {
        order_id: uuid::Uuid::now_v7().to_string(),
        ..Order::default()
    };
    let refused = watch(&shop, &nobodys, 0)
        .await
        .expect_err("there is no such order");
    assert_eq!(refused.code(), Code::NotFound);
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_found_by_the_request_that_placed_it() {
    let shop = crate::open().await;
    let request = latte();
    let placed = shop.place(request.clone()).await;
    let by = Some(By::RequestId(request.request_id));
    let answer = shop
        .reception_client()
        .get_order(GetOrderRequest { by })
        .await;
    let found = answer
        .expect("it was placed")
        .into_inner()
        .order
        .expect("it was found");
    assert_eq!(found.order_id, placed.order_id);
    shop.close().await;
}

type Watching = Streaming<proto::reception::v1::WatchOrderResponse>;

async fn watch(shop: &Shop, order: &Order, after_revision: i64) -> Result<Watching, Status> {
    let order_id = order.order_id.clone();
    let request = WatchOrderRequest {
        order_id,
        after_revision,
    };
    Ok(shop
        .reception_client()
        .watch_order(request)
        .await?
        .into_inner())
}

async fn next(watch: &mut Watching) -> Order {
    loop {
        let update = timeout(patience(), watch.message())
            .await
            .expect("something comes, if only a heartbeat")
            .expect("the stream is whole")
            .expect("it goes on");
        if let Some(Update::Order(order)) = update.update {
            return order;
        }
    }
}

/// What comes until the order is READY.
async fn until_ready(watch: &mut Watching) -> Vec<Order> {
    let mut seen = Vec::new();
    loop {
        let order = next(watch).await;
        let state = order.state();
        seen.push(order);
        if state == OrderState::Ready {
            return seen;
        }
    }
}

async fn tickets(shop: &Shop, request: ListTicketsRequest) -> Vec<proto::barista::v1::Ticket> {
    let answer = shop.barista_client().list_tickets(request).await;
    answer
        .expect("the request is well-formed")
        .into_inner()
        .tickets
}
