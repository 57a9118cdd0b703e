use super::{Running, reason, takes};
use bytes::Bytes;
use http::{Method, uri::PathAndQuery};
use proto::{
    operations::v1::{ListCircuitsRequest, ListCircuitsResponse},
    reception::v1::{ListMenuItemsRequest, reception_service_client::ReceptionServiceClient},
};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::{Code, Request, Status, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

const GRACE: Duration = Duration::from_secs(5);
const LIST: &str = "/coffeeshop.operations.v1.CircuitsService/ListCircuits";

#[tokio::test]
async fn a_request_over_64_kib_is_refused_with_a_reason() {
    let server = Running::start(GRACE).await;
    let mut client = server.client();
    for kib in [65, 1024, 8 * 1024] {
        let page_token = " ".repeat(kib * 1024);
        let request = ListCircuitsRequest {
            page_token,
            ..Default::default()
        };
        let error = client
            .list_circuits(request)
            .await
            .expect_err("it is too large");
        assert_eq!(error.code(), Code::ResourceExhausted, "{kib} KiB: {error}");
        assert_eq!(reason(&error), "REQUEST_TOO_LARGE");
    }
    let page_token = format!("{}1", " ".repeat(63 * 1024));
    let request = ListCircuitsRequest {
        page_token,
        ..Default::default()
    };
    client
        .list_circuits(request)
        .await
        .expect("63 KiB are welcome");
}

#[tokio::test]
async fn an_unknown_service_and_an_unknown_call_say_so_with_a_reason() {
    let server = Running::start(GRACE).await;
    let mut other = ReceptionServiceClient::new(server.channel());
    let error = other.list_menu_items(ListMenuItemsRequest::default()).await;
    let error = error.expect_err("that service is not here");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::Unimplemented, "UNIMPLEMENTED".into())
    );

    let unknown = "/coffeeshop.operations.v1.CircuitsService/BrewCoffee";
    let error = call(&server, unknown, takes(0))
        .await
        .expect_err("no such call");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::Unimplemented, "UNIMPLEMENTED".into())
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_are_the_callers_fault() {
    let server = Running::start(GRACE).await;
    // Of another type: the field that should be text is a timestamp's number.
    let request = prost_types::Timestamp {
        seconds: 1,
        nanos: 1,
    };
    let error = call(&server, LIST, request)
        .await
        .expect_err("it cannot be decoded");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::InvalidArgument, "INVALID_REQUEST".into())
    );
    assert!(error.get_details_bad_request().is_some());
}

#[tokio::test]
async fn an_error_without_a_reason_gets_its_codes_name() {
    let server = Running::start(GRACE).await;
    let error = server
        .client()
        .list_circuits(ListCircuitsRequest::default())
        .await;
    let error = error.expect_err("an empty token is no number");
    assert_eq!(
        (error.code(), error.message()),
        (Code::Internal, "no number")
    );
    assert_eq!(reason(&error), "INTERNAL");
}

/// By the bytes, because tonic's client would watch the clock itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_answered_by_its_name() {
    let server = Running::start(GRACE).await;
    let socket = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    let (mut sender, connection) = h2::client::handshake(socket)
        .await
        .expect("it speaks HTTP/2");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { connection.await.expect("the connection holds") });
    let mut answers = Vec::new();
    for _ in 0..20 {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("http://shop{LIST}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "200m")
            .body(())
            .expect("it is a request");
        sender = sender.ready().await.expect("the connection holds");
        let (answer, mut body) = sender.send_request(request, false).expect("it is open");
        // Not compressed, 7 bytes: field 2 (the token), of 5 characters, "60000".
        let message = Bytes::from_static(b"\0\0\0\0\x07\x12\x0560000");
        body.send_data(message, true).expect("it is open");
        answers.push(answer);
    }
    for answer in answers {
        let answer = answer.await.expect("it is answered");
        let status = Status::from_header_map(answer.headers())
            .unwrap_or_else(|| panic!("it has a status: {answer:?}"));
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into())
        );
    }
}

async fn call(
    server: &Running,
    path: &'static str,
    message: impl prost::Message + 'static,
) -> Result<(), Status> {
    let mut client = Grpc::new(server.channel());
    client
        .ready()
        .await
        .map_err(|e| Status::from_error(e.into()))?;
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<_, ListCircuitsResponse>::default();
    client
        .unary(Request::new(message), path, codec)
        .await
        .map(drop)
}
