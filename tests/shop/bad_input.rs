//! What is wrong with a request is said in one answer, and nothing is stored or charged.

use crate::{count, reason};
use proto::{
    barista::v1::{ListBaristasRequest, ListTicketsRequest},
    reception::v1::{
        GetOrderRequest, ListMenuItemsRequest, ListOrdersRequest, OrderState, PlaceOrderRequest,
        WatchOrderRequest, get_order_request::By,
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

fn cases() -> Vec<Case> {
    let with = |drink, size, quantity| PlaceOrderRequest {
        items: vec![item(drink, size, quantity)],
        ..latte()
    };
    let named = |name: String| PlaceOrderRequest {
        customer_name: name,
        ..latte()
    };
    let paid = |token: String| PlaceOrderRequest {
        payment_token: token,
        ..latte()
    };
    let id = |id: &str| PlaceOrderRequest {
        request_id: id.to_owned(),
        ..latte()
    };
    let lines = |count| PlaceOrderRequest {
        items: vec![item("tea", "small", 1); count],
        ..latte()
    };
    let dear = PlaceOrderRequest {
        items: vec![item("latte", "large", 20); 4],
        ..latte()
    };
    let everything = PlaceOrderRequest {
        request_id: "7".to_owned(),
        customer_name: "A\u{7}da".to_owned(),
        items: vec![
            item("latte", "large", 0),
            item("beer", "large", 1),
            item("tea", "small", 21),
        ],
        payment_token: "with space".to_owned(),
    };
    let all = &[
        "request_id",
        "customer_name",
        "payment_token",
        "items[0].quantity",
        "items[1].drink",
        "items[2].quantity",
    ];
    vec![
        ("no items", lines(0), &["items"]),
        ("a thousand items", lines(1000), &["items"]),
        (
            "a drink that is not on the menu",
            with("beer", "large", 1),
            &["items[0].drink"],
        ),
        (
            "a size that the drink has not",
            with("latte", "double", 1),
            &["items[0].drink"],
        ),
        (
            "no drinks of a line",
            with("latte", "large", 0),
            &["items[0].quantity"],
        ),
        (
            "less than no drinks",
            with("latte", "large", -1),
            &["items[0].quantity"],
        ),
        (
            "a billion drinks",
            with("latte", "large", 1_000_000_000),
            &["items", "items[0].quantity"],
        ),
        ("a total over the limit", dear, &["items"]),
        ("an id that is no UUID", id("7"), &["request_id"]),
        (
            "a UUID in another spelling",
            id(&Uuid::now_v7().simple().to_string()),
            &["request_id"],
        ),
        ("no name", named(String::new()), &["customer_name"]),
        (
            "a name of spaces",
            named("   ".to_owned()),
            &["customer_name"],
        ),
        (
            "a name that is too long",
            named("A".repeat(81)),
            &["customer_name"],
        ),
        (
            "a name with control characters",
            named("A\nda".to_owned()),
            &["customer_name"],
        ),
        (
            "a name with a NUL",
            named("A\0da".to_owned()),
            &["customer_name"],
        ),
        ("no payment token", paid(String::new()), &["payment_token"]),
        (
            "a payment token that is too long",
            paid("t".repeat(201)),
            &["payment_token"],
        ),
        ("everything at once", everything, all),
    ]
}

#[tokio::test]
async fn every_violation_is_in_one_answer_and_nothing_is_stored_or_charged() {
    let shop = crate::open().await;
    for (what, request, fields) in cases() {
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

/// The fields named by an answer that must be INVALID_ARGUMENT, sorted.
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
