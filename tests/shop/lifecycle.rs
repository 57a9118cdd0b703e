//! A process says when it is ready, and leaves without losing anything.

use crate::reason;
use proto::reception::v1::WatchOrderRequest;
use shop::{
    customers::latte,
    harness::{Hosted, Options, Shop, eventually},
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest,
    health_check_response::ServingStatus::{self, NotServing, Serving},
    health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

const RECEPTION: &str = "coffeeshop.reception.v1.ReceptionService";
const BARISTA: &str = "coffeeshop.barista.v1.BaristaService";
const PAYMENTS: &str = "coffeeshop.payments.v1.PaymentsService";

#[tokio::test]
async fn sigterm_under_load_loses_nothing_and_nobody_hears_more_than_unavailable() {
    let shop = crate::open_with(Options {
        processes: true,
        ..Options::default()
    })
    .await;
    let customers = customers(&shop);
    for service in [&shop.reception, &shop.payments, &shop.barista] {
        until_served(&shop, 20).await;
        // An error unless the exit code is 0.
        service.stop().await.expect("it ends well");
        service.start().await.expect("it starts again");
    }
    until_served(&shop, 20).await;
    drop(customers);
    let errors: Vec<&str> = shop.history.errors().into_keys().collect();
    assert_eq!(errors, [Code::Unavailable.description()]);
    for order_id in shop.history.acknowledged() {
        assert!(
            shop.get(&order_id.to_string()).await.is_ok(),
            "{order_id} is lost"
        );
    }
    shop.close().await;
}

/// Customers who order until they are dropped.
pub fn customers(shop: &Shop) -> JoinSet<()> {
    let mut customers = JoinSet::new();
    for _ in 0..4 {
        let customer = shop.customer();
        customers.spawn(async move {
            loop {
                // What it was told is in the history.
                customer.place(latte()).await.ok();
            }
        });
    }
    customers
}

pub async fn until_served(shop: &Shop, more: usize) {
    let before = shop.history.acknowledged().len();
    eventually("customers to be served", async || {
        match shop.history.acknowledged().len() {
            now if now >= before + more => Ok(()),
            now => Err(now - before),
        }
    })
    .await;
}

#[tokio::test]
async fn a_watcher_is_told_when_the_process_stops() {
    let shop = crate::open().await;
    let order = shop.place(latte()).await;
    let ready = shop.until_ready(&order).await;
    let (order_id, after_revision) = (order.order_id, ready.revision);
    let watch = WatchOrderRequest {
        order_id,
        after_revision,
    };
    let watch = shop.reception_client().watch_order(watch).await;
    let mut watch = watch.expect("the order exists").into_inner();
    let (stopped, told) = tokio::join!(shop.reception.stop(), watch.message());
    stopped.expect("a watcher does not hold it");
    let told = told.expect_err("the stream ends");
    assert_eq!(
        (told.code(), reason(&told)),
        (Code::Unavailable, "DRAINING".to_owned())
    );
    shop.reception.start().await.expect("it starts again");
    shop.close().await;
}

#[tokio::test]
async fn each_service_reports_its_readiness_by_name() {
    let shop = crate::open().await;
    let services = [
        (&shop.reception, RECEPTION),
        (&shop.barista, BARISTA),
        (&shop.payments, PAYMENTS),
    ];
    for (service, name) in services {
        assert_eq!(health(service, name).await.expect("it answers"), Serving);
        assert_eq!(health(service, "").await.expect("it answers"), Serving);
        let unknown = health(service, "coffeeshop.tea.v1.TeaService").await;
        assert_eq!(
            unknown.expect_err("there is no such service").code(),
            Code::NotFound
        );
    }
    shop.close().await;
}

#[tokio::test]
async fn services_wait_for_a_database_that_is_away_and_then_serve() {
    let shop = Shop::prepare(Options {
        own_servers: true,
        ..Options::default()
    })
    .await;
    let shop = shop.expect("databases and topics can be made");
    shop.servers.postgres.kill9().await.expect("it was running");
    let services = [
        (&shop.payments, PAYMENTS),
        (&shop.barista, BARISTA),
        (&shop.reception, RECEPTION),
    ];
    for (service, name) in services {
        service.launch().await.expect("it starts");
        let answer = eventually("health to answer", async || health(service, name).await).await;
        assert_eq!(answer, NotServing, "{name}");
        assert_eq!(
            health(service, "").await.expect("it answers"),
            Serving,
            "the process lives"
        );
    }
    shop.servers
        .postgres
        .restart()
        .await
        .expect("it starts again");
    for (service, _) in services {
        service.ready().await.expect("its database is back");
    }
    let order = shop.place(latte()).await;
    shop.until_ready(&order).await;
    shop.close().await;
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    let shop = crate::open().await;
    for (service, name) in [
        (&shop.reception, RECEPTION),
        (&shop.barista, BARISTA),
        (&shop.payments, PAYMENTS),
    ] {
        let name = name.to_owned();
        assert!(listed_v1(service).await.contains(&name), "{name}");
        assert!(listed_v1alpha(service).await.contains(&name), "{name}");
    }
    shop.close().await;
}

async fn health(service: &Hosted, name: &str) -> Result<ServingStatus, Status> {
    let channel = service.channel().expect("the URL is our own");
    let question = HealthCheckRequest {
        service: name.to_owned(),
    };
    let answer = HealthClient::new(channel).check(question).await?;
    Ok(answer.into_inner().status())
}

async fn listed_v1(service: &Hosted) -> Vec<String> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest::ListServices,
        server_reflection_response::MessageResponse::ListServicesResponse,
    };
    let message_request = Some(ListServices(String::new()));
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request,
    };
    let mut client = ServerReflectionClient::new(service.channel().expect("the URL is our own"));
    let answers = client
        .server_reflection_info(futures::stream::iter([question]))
        .await;
    let mut answers = answers.expect("it answers").into_inner();
    let answer = answers.message().await.expect("it answers").expect("once");
    let Some(ListServicesResponse(list)) = answer.message_response else {
        return Vec::new();
    };
    list.service
        .into_iter()
        .map(|service| service.name)
        .collect()
}

async fn listed_v1alpha(service: &Hosted) -> Vec<String> {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest::ListServices,
        server_reflection_response::MessageResponse::ListServicesResponse,
    };
    let message_request = Some(ListServices(String::new()));
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request,
    };
    let mut client = ServerReflectionClient::new(service.channel().expect("the URL is our own"));
    let answers = client
        .server_reflection_info(futures::stream::iter([question]))
        .await;
    let mut answers = answers.expect("it answers").into_inner();
    let answer = answers.message().await.expect("it answers").expect("once");
    let Some(ListServicesResponse(list)) = answer.message_response else {
        return Vec::new();
    };
    list.service
        .into_iter()
        .map(|service| service.name)
        .collect()
}
