//! Every reason of an error is given as it is documented: by the calls at which it stands, with the
//! code, the details and the metadata that stand there.

use crate::{
    contract::comments::{self, Contract, Listed},
    guarantee_dead_letters::{only_letter, park_an_order, replay},
    payment_keys::cancel,
    payments::{charge, find, latte as payment},
    refunds::{all_of, charged, refund},
    slow_watchers, watching,
};
use proto::{
    barista::v1::barista_service_client::BaristaServiceClient,
    operations::v1::DeadLetter,
    payments::v1::{ChargeRequest, Payment},
    reception::v1::{
        CancelOrderRequest, CollectOrderRequest, ListMenuItemsRequest, Order, PlaceOrderRequest,
        WatchOrderRequest,
    },
};
use rpc::status::{self, Reason};
use shop::{
    customers::latte,
    harness::{Shop, eventually, patience},
    services::Service,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// Not provoked here, and why.
const ELSEWHERE: [(Reason, &str); 8] = [
    (
        Reason::DeadlineExceeded,
        "our client ends first: rpc::server::tests::errors",
    ),
    (Reason::Cancelled, "whoever went reads no answer"),
    (Reason::Internal, "would be a bug"),
    (
        Reason::CircuitOpen,
        "of our own clients: rpc::breaker::tests",
    ),
    (
        Reason::ConnectionBroken,
        "of our own clients: rpc::client::tests",
    ),
    (Reason::NotSent, "of our own clients: rpc::client::tests"),
    (
        Reason::Starting,
        "a moment that nobody can hold: rpc::server::tests::drain",
    ),
    (
        Reason::NotNow,
        "for handlers to come: none of today's asks for it on a replay",
    ),
];

const RECEPTION: &str = "coffeeshop.reception.v1.ReceptionService";
const BARISTA: &str = "coffeeshop.barista.v1.BaristaService";
const PAYMENTS: &str = "coffeeshop.payments.v1.PaymentsService";
const LETTERS: &str = "coffeeshop.operations.v1.DeadLettersService";

/// What was answered, and by which call.
type Given = (String, Status);

#[tokio::test]
async fn every_reason_is_given_as_it_is_documented() {
    let options = slow_watchers::impatient("300ms")
        .with(Service::Reception, "MAX_PLACING", "1")
        .with(Service::Reception, "DRAIN_GRACE", "200ms");
    let shop = crate::open_with(options).await;
    let mut given = wrong_requests(&shop).await;
    given.extend(orders(&shop).await);
    given.extend(payments(&shop).await);
    given.extend(dead_letters(&shop).await);
    given.extend(stores(&shop).await);
    given.extend(at_the_end(&shop).await);

    let contract = Contract::read();
    let provoked: BTreeSet<Reason> = given
        .iter()
        .map(|given| documented(&contract, given))
        .collect();
    let elsewhere = ELSEWHERE.map(|(reason, _)| reason);
    let all = comments::reasons().into_iter();
    let expected: BTreeSet<Reason> = all.filter(|reason| !elsewhere.contains(reason)).collect();
    assert_eq!(provoked, expected);
    // The provider was asked for money that no order owes.
    shop.discard().await;
}

/// The reason of an error, which stands at its call with this code and these details.
fn documented(contract: &Contract, (call, status): &Given) -> Reason {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("{call}: no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "coffeeshop");
    let reason = Reason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    let reason = reason.unwrap_or_else(|| panic!("{call}: {} is not documented", info.reason));
    let code = status::name(status.code());
    let stands = |listed: &Listed| (listed.code, listed.reason) == (code, reason);
    assert!(
        contract.errors_of(call).iter().any(stands),
        "{code} {} does not stand at {call}",
        info.reason
    );
    let meaning = contract.meaning(reason);
    let says = |what| meaning.contains(what);
    assert_eq!(
        details.retry_info().is_some(),
        says("RetryInfo"),
        "{call}: {status:?}"
    );
    assert_eq!(
        details.resource_info().is_some(),
        says("ResourceInfo"),
        "{call}: {status:?}"
    );
    assert_eq!(
        details.bad_request().is_some(),
        says("BadRequest"),
        "{call}: {status:?}"
    );
    let (_, listed) = meaning.split_once("Metadata:").unwrap_or_default();
    for key in info.metadata.keys() {
        assert!(
            listed.contains(key.as_str()),
            "{call}: {key} of {}",
            info.reason
        );
    }
    reason
}

fn at(service: &str, call: &str, status: Status) -> Given {
    (format!("{service}/{call}"), status)
}

async fn place(shop: &Shop, order: PlaceOrderRequest) -> Given {
    let refused = shop.try_place(order).await;
    at(RECEPTION, "PlaceOrder", refused.expect_err("it is refused"))
}

async fn wrong_requests(shop: &Shop) -> Vec<Given> {
    let nothing = PlaceOrderRequest {
        items: Vec::new(),
        ..latte()
    };
    let too_large = PlaceOrderRequest {
        customer_name: "A".repeat(65 * 1024),
        ..latte()
    };
    let channel = shop.reception.channel().expect("the URL is our own");
    let mut nobody = BaristaServiceClient::new(channel);
    let unknown = nobody
        .list_tickets(proto::barista::v1::ListTicketsRequest::default())
        .await;
    let unknown = unknown.expect_err("reception lists no tickets");
    vec![
        place(shop, nothing).await,
        place(shop, too_large).await,
        at(BARISTA, "ListTickets", unknown),
        at(BARISTA, "WatchTickets", watching::from_long_ago(shop).await),
    ]
}

async fn orders(shop: &Shop) -> Vec<Given> {
    let request = latte();
    shop.place(request.clone()).await;
    let reused = PlaceOrderRequest {
        customer_name: "Bob".to_owned(),
        ..request
    };
    let declined = PlaceOrderRequest {
        payment_token: "tok_declined".to_owned(),
        ..latte()
    };
    let reused = place(shop, reused).await;
    let declined = place(shop, declined).await;
    let info = declined.1.get_details_error_info().expect("it has one");
    let order_id = info.metadata["order_id"].clone();
    let unknown = shop.get(&Uuid::now_v7().to_string()).await;
    let mut reception = shop.reception_client();
    let cancel = CancelOrderRequest {
        order_id: order_id.clone(),
        ..Default::default()
    };
    let cancelled = reception.cancel_order(cancel).await;
    let collected = reception
        .collect_order(CollectOrderRequest { order_id })
        .await;
    vec![
        reused,
        declined,
        at(
            RECEPTION,
            "GetOrder",
            unknown.expect_err("nobody placed it"),
        ),
        at(
            RECEPTION,
            "CancelOrder",
            cancelled.expect_err("it is DECLINED"),
        ),
        at(
            RECEPTION,
            "CollectOrder",
            collected.expect_err("it is DECLINED"),
        ),
        at(RECEPTION, "WatchOrder", slow_watchers::too_slow(shop).await),
        overloaded(shop).await,
    ]
}

/// While somebody else is at the only place.
async fn overloaded(shop: &Shop) -> Given {
    let inside = slow_call(shop, Duration::from_secs(2)).await;
    let refused = place(shop, latte()).await;
    let order = answer(inside).await.expect("it has time");
    shop.until_ready(&order).await;
    refused
}

/// A `PlaceOrder` that waits for the provider.
async fn slow_call(shop: &Shop, latency: Duration) -> JoinSet<Result<Order, Status>> {
    shop.provider.delay_next(1, latency).await;
    let customer = shop.customer();
    let mut inside = JoinSet::new();
    inside.spawn(async move { customer.place(latte()).await });
    eventually("the provider to be asked", async || {
        match shop.provider.calls_left().await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    inside
}

async fn answer(mut call: JoinSet<Result<Order, Status>>) -> Result<Order, Status> {
    let answered = call.join_next().await.expect("it was made");
    answered.expect("it does not panic")
}

async fn payments(shop: &Shop) -> Vec<Given> {
    let mut client = shop.payments_client();
    let unknown = find(&mut client, &payment())
        .await
        .expect_err("never charged");
    let closed_request = payment();
    let closed: Payment = cancel(&mut client, &closed_request)
        .await
        .expect("it is closed");
    let cancelled = charge(&mut client, &closed_request)
        .await
        .expect_err("it is closed");
    let not_charged = refund(&mut client, &all_of(&closed))
        .await
        .expect_err("nothing was");
    let (request, payment_of) = charged(&mut client).await;
    let other = ChargeRequest {
        payment_token: "tok_other".to_owned(),
        ..request
    };
    let reused = charge(&mut client, &other)
        .await
        .expect_err("it is another charge");
    let mut part = all_of(&payment_of);
    part.amount = Some(crate::payments::euros(1));
    let mismatch = refund(&mut client, &part).await.expect_err("it is a part");
    refund(&mut client, &all_of(&payment_of))
        .await
        .expect("it is charged");
    let refunded = refund(&mut client, &all_of(&payment_of))
        .await
        .expect_err("it is back");
    shop.provider.fail_next(1).await;
    let injected = charge(&mut client, &payment())
        .await
        .expect_err("it was told to");
    vec![
        at(PAYMENTS, "GetPayment", unknown),
        at(PAYMENTS, "Charge", cancelled),
        at(PAYMENTS, "Refund", not_charged),
        at(PAYMENTS, "Charge", reused),
        at(PAYMENTS, "Refund", mismatch),
        at(PAYMENTS, "Refund", refunded),
        at(PAYMENTS, "Charge", injected),
    ]
}

async fn dead_letters(shop: &Shop) -> Vec<Given> {
    park_an_order(shop).await;
    let letter = only_letter(&shop.barista).await;
    let dead = replay(shop, &letter).await.expect_err("nothing is mended");
    let nobodys = DeadLetter {
        dead_letter_id: letter.dead_letter_id + 1,
        ..letter
    };
    let unknown = replay(shop, &nobodys).await.expect_err("there is none");
    vec![
        at(LETTERS, "ReplayDeadLetter", dead),
        at(LETTERS, "ReplayDeadLetter", unknown),
    ]
}

/// A database that does not answer as it should: here, the table is gone for a moment.
async fn stores(shop: &Shop) -> Vec<Given> {
    let pool = shop.reception_pool();
    let rename = async |statement| {
        sqlx::query(statement)
            .execute(&pool)
            .await
            .expect("it is up")
    };
    rename("alter table menu_items rename to hidden").await;
    let menu = shop
        .reception_client()
        .list_menu_items(ListMenuItemsRequest::default())
        .await;
    rename("alter table hidden rename to menu_items").await;
    vec![at(
        RECEPTION,
        "ListMenuItems",
        menu.expect_err("there is no menu"),
    )]
}

/// A watcher and a call that reception leaves when it is asked to stop.
async fn at_the_end(shop: &Shop) -> Vec<Given> {
    let order_id = shop.place(latte()).await.order_id;
    let watch = WatchOrderRequest {
        order_id,
        after_revision: 0,
    };
    let watching = shop.reception_client().watch_order(watch).await;
    let mut watching = watching.expect("the order exists").into_inner();
    let cut_off = slow_call(shop, Duration::from_secs(20)).await;
    shop.reception.stop().await.expect_err("a call was cut off");
    let draining = timeout(patience(), async {
        loop {
            if let Err(status) = watching.message().await {
                return status;
            }
        }
    });
    let unknown = answer(cut_off).await.expect_err("nobody knows");
    vec![
        at(
            RECEPTION,
            "WatchOrder",
            draining.await.expect("the stream ends"),
        ),
        at(RECEPTION, "PlaceOrder", unknown),
    ]
}
