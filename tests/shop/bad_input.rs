//! What is wrong with a request is said in one answer, and nothing is stored or charged.

use crate::{count, reason};
use proto::{
    barista::v1::{ListBaristasRequest, ListTicketsRequest},
    reception::v1::{
        CancelOrderRequest, CollectOrderRequest, GetOrderRequest, ListMenuItemsRequest,
        ListOrdersRequest, OrderState, PlaceOrderItem, PlaceOrderRequest, WatchOrderRequest,
        get_order_request::By,
    },
};
use shop::{
    customers::{item, latte},
    harness::Shop,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// What is wrong, the request, and the fields that the answer must name.
type Case = (&'static str, PlaceOrderRequest, &'static [&'static str]);

fn items() -> Vec<Case> {
    let one = |drink, size, quantity| lines(vec![item(drink, size, quantity)]);
    vec![
        ("no items", lines(vec![]), &["items"]),
        (
            "1,000 items",
            lines(vec![item("tea", "small", 1); 1000]),
            &["items"],
        ),
        (
            "unknown drink",
            one("beer", "large", 1),
            &["items[0].drink"],
        ),
        (
            "unknown size",
            one("latte", "double", 1),
            &["items[0].drink"],
        ),
        ("quantity 0", one("tea", "small", 0), &["items[0].quantity"]),
        (
            "quantity -1",
            one("tea", "small", -1),
            &["items[0].quantity"],
        ),
        (
            "quantity 21",
            one("tea", "small", 21),
            &["items[0].quantity"],
        ),
        (
            "quantity 10^9",
            one("tea", "small", 1_000_000_000),
            &["items", "items[0].quantity"],
        ),
        (
            "101 drinks",
            lines(vec![item("tea", "small", 17); 6]),
            &["items"],
        ),
        (
            "NUL in a drink",
            lines(vec![item("latte\0", "large", 1)]),
            &["items[0].drink"],
        ),
        (
            "336.00 EUR",
            lines(vec![item("latte", "large", 20); 4]),
            &["items"],
        ),
    ]
}

fn everything_else() -> Vec<Case> {
    let spelled_otherwise = Uuid::now_v7().simple().to_string();
    vec![
        ("malformed id", id("7"), &["request_id"]),
        (
            "id without hyphens",
            id(&spelled_otherwise),
            &["request_id"],
        ),
        ("no name", name(""), &["customer_name"]),
        ("blank name", name("   "), &["customer_name"]),
        ("long name", name(&"A".repeat(81)), &["customer_name"]),
        ("line break in the name", name("A\nda"), &["customer_name"]),
        ("NUL in the name", name("A\0da"), &["customer_name"]),
        ("no token", token(""), &["payment_token"]),
        ("long token", token(&"t".repeat(201)), &["payment_token"]),
        ("blank in the token", token("tok visa"), &["payment_token"]),
    ]
}

fn everything_at_once() -> Case {
    let request = PlaceOrderRequest {
        request_id: "7".to_owned(),
        customer_name: "A\u{7}da".to_owned(),
        items: vec![item("latte", "large", 0), item("beer", "large", 1)],
        payment_token: "tok visa".to_owned(),
    };
    let fields = &[
        "request_id",
        "customer_name",
        "payment_token",
        "items[0].quantity",
        "items[1].drink",
    ];
    ("everything at once", request, fields)
}

fn lines(items: Vec<PlaceOrderItem>) -> PlaceOrderRequest {
    PlaceOrderRequest { items, ..latte() }
}

fn id(request_id: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: request_id.to_owned(),
        ..latte()
    }
}

fn name(name: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        customer_name: name.to_owned(),
        ..latte()
    }
}

fn token(token: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        payment_token: token.to_owned(),
        ..latte()
    }
}

#[tokio::test]
async fn every_violation_is_in_one_answer_and_nothing_is_stored_or_charged() {
    let shop = crate::open().await;
    for (what, request, fields) in items()
        .into_iter()
        .chain(everything_else())
        .chain([everything_at_once()])
    {
        let refused = shop.try_place(request).await.expect_err(what);
        assert_eq!(violations(&refused), sorted(fields), "{what}");
    }
    nothing_happened(&shop).await;
    shop.close().await;
}

#[tokio::test]
async fn the_largest_legal_order_is_made() {
    let shop = crate::open().await;
    let mut order = latte();
    order.customer_name = "é".repeat(80);
    order.items = vec![item("espresso", "single", 5); 20];
    let placed = shop.place(order).await;
    shop.until_ready(&placed).await;
    shop.close().await;
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_by_the_transport() {
    let shop = crate::open().await;
    let huge = PlaceOrderRequest {
        customer_name: "A".repeat(64 * 1024),
        ..latte()
    };
    let refused = shop.try_place(huge).await.expect_err("it is too large");
    let too_large = (Code::ResourceExhausted, "REQUEST_TOO_LARGE".to_owned());
    assert_eq!((refused.code(), reason(&refused)), too_large);
    nothing_happened(&shop).await;
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_does_not_exist_is_not_found_by_name() {
    let shop = crate::open().await;
    let id = Uuid::now_v7().to_string();
    for by in [By::OrderId(id.clone()), By::RequestId(id.clone())] {
        let answer = shop
            .reception_client()
            .get_order(GetOrderRequest { by: Some(by) })
            .await;
        let missing = answer.expect_err("there is no such order");
        assert_eq!(
            (missing.code(), reason(&missing)),
            (Code::NotFound, "ORDER_NOT_FOUND".to_owned())
        );
        let resource = missing
            .get_details_resource_info()
            .expect("it has ResourceInfo");
        assert_eq!(resource.resource_type, "coffeeshop.reception.v1.Order");
        assert_eq!(resource.resource_name, id);
    }
    shop.close().await;
}

#[tokio::test]
async fn ids_filters_and_page_sizes_that_make_no_sense_are_refused() {
    let shop = crate::open().await;
    let mut reception = shop.reception_client();
    let malformed = || "not-a-uuid".to_owned();

    let none = reception.get_order(GetOrderRequest { by: None }).await;
    assert_eq!(violations(&refused(none)), ["by"]);
    let by = Some(By::OrderId(malformed()));
    assert_eq!(
        violations(&refused(reception.get_order(GetOrderRequest { by }).await)),
        ["order_id"]
    );
    let watch = WatchOrderRequest {
        order_id: malformed(),
        after_revision: -1,
    };
    let watched = reception.watch_order(watch).await;
    assert_eq!(
        violations(&refused(watched)),
        ["after_revision", "order_id"]
    );

    let cancel = CancelOrderRequest {
        order_id: malformed(),
        reason: format!("\u{7}{}", "x".repeat(200)),
    };
    let cancelled = refused(reception.cancel_order(cancel).await);
    assert_eq!(violations(&cancelled), ["order_id", "reason"]);
    let listed = cancelled.get_details_bad_request().expect("it has one");
    assert_eq!(listed.field_violations.len(), 3, "too long, and a bell");
    let order_id = malformed();
    let collected = reception
        .collect_order(CollectOrderRequest { order_id })
        .await;
    assert_eq!(violations(&refused(collected)), ["order_id"]);

    let mut list = ListOrdersRequest {
        page_size: -1,
        state: 99,
        ..Default::default()
    };
    list.create_time_from = Some(prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    });
    list.page_token = "made-up".to_owned();
    let fields = ["create_time_from", "page_size", "page_token", "state"];
    assert_eq!(
        violations(&refused(reception.list_orders(list).await)),
        fields
    );
    shop.close().await;
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let shop = crate::open().await;
    for _ in 0..2 {
        shop.place(latte()).await;
    }
    let page = ListOrdersRequest {
        page_size: 1,
        ..Default::default()
    };
    let listed = shop.reception_client().list_orders(page.clone()).await;
    let token = listed
        .expect("the request is well-formed")
        .into_inner()
        .next_page_token;
    assert!(!token.is_empty());

    let mut reception = shop.reception_client();
    let other_filter = ListOrdersRequest {
        state: OrderState::Ready.into(),
        page_token: token.clone(),
        ..page
    };
    let of_menu = ListMenuItemsRequest {
        page_token: token.clone(),
        ..Default::default()
    };
    let of_tickets = ListTicketsRequest {
        page_token: token.clone(),
        ..Default::default()
    };
    let of_baristas = ListBaristasRequest {
        page_token: token,
        ..Default::default()
    };
    let mut barista = shop.barista_client();
    let answers = [
        refused(reception.list_orders(other_filter).await),
        refused(reception.list_menu_items(of_menu).await),
        refused(barista.list_tickets(of_tickets).await),
        refused(barista.list_baristas(of_baristas).await),
    ];
    for answer in answers {
        assert_eq!(violations(&answer), ["page_token"]);
    }
    shop.close().await;
}

fn refused<T>(answer: Result<T, Status>) -> Status {
    answer.map(|_| ()).expect_err("the request makes no sense")
}

/// The fields named by an answer that must be `INVALID_ARGUMENT`, sorted.
fn violations(status: &Status) -> Vec<String> {
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST".to_owned());
    assert_eq!((status.code(), reason(status)), invalid);
    let request = status.get_details_bad_request().expect("it has BadRequest");
    let mut fields: Vec<String> = request
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    fields.sort();
    fields.dedup();
    fields
}

fn sorted(fields: &[&str]) -> Vec<String> {
    let mut fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    fields.sort();
    fields
}

async fn nothing_happened(shop: &Shop) {
    for (pool, question) in [
        (shop.reception_pool(), "select count(*) from orders"),
        (shop.reception_pool(), "select count(*) from outbox"),
        (shop.payments_pool(), "select count(*) from payments"),
    ] {
        assert_eq!(count(&pool, question).await, 0, "{question}");
    }
}
