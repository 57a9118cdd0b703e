//! Lists come in pages, each row once, whatever is placed meanwhile.

use proto::{
    barista::v1::{ListBaristasRequest, ListTicketsRequest, TicketState},
    payments::v1::ListPaymentsRequest,
    reception::v1::{ListMenuItemsRequest, ListOrdersRequest, Order, OrderState},
};
use shop::{
    customers::{espresso, latte, order},
    harness::Shop,
};
use std::collections::HashSet;

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
    assert_eq!(ids(list(&shop, by_name).await.0), [bobs.order_id.as_str()]);
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
async fn pages_of_tickets_and_payments_have_no_gaps_while_orders_come_in() {
    let shop = crate::open().await;
    for _ in 0..6 {
        shop.place(espresso()).await;
    }
    shop.until_idle().await;
    let (mut tickets, mut payments) = (Vec::new(), Vec::new());
    let mut of_tickets = ListTicketsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut of_payments = ListPaymentsRequest {
        page_size: 2,
        ..Default::default()
    };
    for _ in 0..3 {
        let page = shop.barista_client().list_tickets(of_tickets.clone()).await;
        let page = page.expect("the barista is up").into_inner();
        tickets.extend(page.tickets.into_iter().map(|ticket| ticket.order_id));
        of_tickets.page_token = page.next_page_token;
        let page = shop
            .payments_client()
            .list_payments(of_payments.clone())
            .await;
        let page = page.expect("payments is up").into_inner();
        payments.extend(page.payments.into_iter().map(|payment| payment.order_id));
        of_payments.page_token = page.next_page_token;
        shop.place(espresso()).await;
        shop.until_idle().await;
    }
    assert_eq!(of_tickets.page_token, "", "the last page says so");
    assert_eq!(of_payments.page_token, "", "the last page says so");
    for listed in [tickets, payments] {
        assert_eq!(listed.len(), 6);
        assert_eq!(listed.iter().collect::<HashSet<_>>().len(), 6, "each once");
    }
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
