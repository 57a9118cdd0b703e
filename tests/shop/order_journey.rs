//! From PlaceOrder to READY, and all that can be asked on the way.

use proto::{
    barista::v1::{
        DrinkState, ListBaristasRequest, ListTicketsRequest, TicketState, WatchTicketsRequest,
    },
    payments::v1::{CancelPaymentRequest, RefundRequest},
    reception::v1::{
        CancelOrderRequest, CollectOrderRequest, GetOrderRequest, ListMenuItemsRequest,
        ListOrdersRequest, Order, OrderState, PaymentState, WatchOrderRequest,
        get_order_request::By, watch_order_response::Update,
    },
};
use shop::{
    customers::{espresso, item, latte, order},
    harness::{Options, Shop},
    services::Service,
};
use std::collections::HashSet;
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
    let slowly = Options::default().with(Service::Barista, "BREW_SCALE", "0.1");
    let shop = crate::open_with(slowly).await;
    let placed = shop.place(latte()).await;
    let mut watch = watch(&shop, &placed, 0).await.expect("the order exists");
    let mut seen = vec![next(&mut watch).await];
    while seen
        .last()
        .is_some_and(|order| order.state() != OrderState::Ready)
    {
        seen.push(next(&mut watch).await);
    }
    let states: Vec<OrderState> = seen.iter().map(Order::state).collect();
    let expected = [OrderState::Paid, OrderState::Preparing, OrderState::Ready];
    assert_eq!(states, expected, "brewing takes long enough to see each");

    let ready = seen.last().expect("it has just been seen");
    let mut resumed = self::watch(&shop, &placed, ready.revision - 1)
        .await
        .expect("the order exists");
    assert_eq!(next(&mut resumed).await, *ready);
    shop.close().await;
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

#[tokio::test]
async fn pages_of_orders_have_no_gaps_while_orders_come_in() {
    let shop = crate::open().await;
    let mut expected = Vec::new();
    for _ in 0..10 {
        expected.push(shop.place(espresso()).await.order_id);
    }
    let (mut listed, mut request) = (Vec::new(), pages_of(3));
    loop {
        let (orders, next) = list(&shop, request.clone()).await;
        listed.extend(orders.into_iter().map(|order| order.order_id));
        if next.is_empty() {
            break;
        }
        // A newer one in front must not push a page's last row onto the next page.
        shop.place(espresso()).await;
        request.page_token = next;
    }
    expected.reverse();
    assert_eq!(listed, expected, "newest first, each once");
    shop.close().await;
}

#[tokio::test]
async fn orders_are_listed_by_state_name_and_time() {
    let shop = crate::open().await;
    let (mut bobs, mut declined) = (latte(), latte());
    bobs.customer_name = "Bob".to_owned();
    declined.payment_token = "tok_declined".to_owned();
    shop.try_place(declined)
        .await
        .expect_err("the provider declines this token");
    let adas = shop.place(latte()).await;
    let bobs = shop.place(bobs).await;
    shop.until_idle().await;

    let by_state = ListOrdersRequest {
        state: OrderState::Declined.into(),
        ..pages_of(10)
    };
    assert_eq!(list(&shop, by_state).await.0.len(), 1);
    let by_name = ListOrdersRequest {
        customer_name: "Bob".to_owned(),
        ..pages_of(10)
    };
    assert_eq!(ids(list(&shop, by_name).await.0), [bobs.order_id.clone()]);
    let from = ListOrdersRequest {
        create_time_from: bobs.create_time,
        ..pages_of(10)
    };
    assert_eq!(ids(list(&shop, from).await.0), [bobs.order_id]);
    let both = ListOrdersRequest {
        create_time_until: bobs.create_time,
        state: OrderState::Ready.into(),
        ..pages_of(10)
    };
    assert_eq!(ids(list(&shop, both).await.0), [adas.order_id]);
    shop.close().await;
}

#[tokio::test]
async fn tickets_are_listed_in_pages_and_by_state() {
    let shop = crate::open().await;
    for _ in 0..5 {
        shop.place(order("tea", "small", 1)).await;
    }
    shop.until_idle().await;
    let mut client = shop.barista_client();
    let mut request = ListTicketsRequest {
        page_size: 2,
        ..ListTicketsRequest::default()
    };
    let mut listed = HashSet::new();
    loop {
        let page = client
            .list_tickets(request.clone())
            .await
            .expect("the barista is up");
        let page = page.into_inner();
        assert!(page.tickets.len() <= 2);
        listed.extend(page.tickets.into_iter().map(|ticket| ticket.order_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed.len(), 5);
    let queued = ListTicketsRequest {
        state: TicketState::Queued.into(),
        ..Default::default()
    };
    assert!(tickets(&shop, queued).await.is_empty(), "all are READY");
    shop.close().await;
}

#[tokio::test]
async fn the_menu_and_the_workforce_are_listed_in_pages() {
    let shop = crate::open().await;
    let mut request = ListMenuItemsRequest {
        page_size: 4,
        ..Default::default()
    };
    let mut menu = Vec::new();
    loop {
        let page = shop
            .reception_client()
            .list_menu_items(request.clone())
            .await;
        let page = page.expect("reception is up").into_inner();
        menu.extend(
            page.menu_items
                .into_iter()
                .map(|item| (item.drink, item.size)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(menu.len(), 15);
    assert_eq!(menu.iter().collect::<HashSet<_>>().len(), 15, "each once");

    let request = ListBaristasRequest {
        page_size: 3,
        ..Default::default()
    };
    let page = shop.barista_client().list_baristas(request.clone()).await;
    let page = page.expect("the barista is up").into_inner();
    let request = ListBaristasRequest {
        page_token: page.next_page_token,
        ..request
    };
    let rest = shop.barista_client().list_baristas(request).await;
    let rest = rest.expect("the barista is up").into_inner();
    assert!(rest.next_page_token.is_empty());
    let names: Vec<String> = page
        .baristas
        .into_iter()
        .chain(rest.baristas)
        .map(|barista| barista.barista_id)
        .collect();
    assert_eq!(names, ["ada", "bruno", "chiara", "dmitri"]);
    shop.close().await;
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let shop = crate::open().await;
    let id = || shop.name.clone();
    let (mut reception, mut payments) = (shop.reception_client(), shop.payments_client());
    let cancel = CancelOrderRequest {
        order_id: id(),
        reason: String::new(),
    };
    unimplemented(reception.cancel_order(cancel).await);
    unimplemented(
        reception
            .collect_order(CollectOrderRequest { order_id: id() })
            .await,
    );
    unimplemented(payments.refund(RefundRequest::default()).await);
    unimplemented(
        payments
            .cancel_payment(CancelPaymentRequest {
                idempotency_key: id(),
            })
            .await,
    );
    unimplemented(
        shop.barista_client()
            .watch_tickets(WatchTicketsRequest {})
            .await,
    );
    shop.close().await;
}

fn unimplemented<T>(answer: Result<T, Status>) {
    let code = answer.map(|_| ()).map_err(|status| status.code());
    assert_eq!(code, Err(Code::Unimplemented));
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
        let update = watch
            .message()
            .await
            .expect("the stream is whole")
            .expect("it goes on");
        if let Some(Update::Order(order)) = update.update {
            return order;
        }
    }
}

fn pages_of(page_size: i32) -> ListOrdersRequest {
    ListOrdersRequest {
        page_size,
        ..ListOrdersRequest::default()
    }
}

async fn list(shop: &Shop, request: ListOrdersRequest) -> (Vec<Order>, String) {
    let answer = shop.reception_client().list_orders(request).await;
    let answer = answer.expect("the request is well-formed").into_inner();
    (answer.orders, answer.next_page_token)
}

fn ids(orders: Vec<Order>) -> Vec<String> {
    orders.into_iter().map(|order| order.order_id).collect()
}

async fn tickets(shop: &Shop, request: ListTicketsRequest) -> Vec<proto::barista::v1::Ticket> {
    let answer = shop.barista_client().list_tickets(request).await;
    answer
        .expect("the request is well-formed")
        .into_inner()
        .tickets
}
