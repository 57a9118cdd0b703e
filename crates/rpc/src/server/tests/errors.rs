use super::{Running, reason, takes};
use bytes::Bytes;
use http::{Method, uri::PathAndQuery};
use proto::{
    operations::v1::{ListCircuitsRequest, ListCircuitsResponse},
    reception::v1::{ListMenuItemsRequest, reception_service_client::ReceptionServiceClient},
};
use std::time::Duration;
use tokio::{net::TcpStream, task::JoinSet};
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
    let mut raw = Raw::connect(&server).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        // Field 2 (the token), of 5 characters: "60000".
        answers.push(raw.send("200m", b"\0\0\0\0\x07\x12\x0560000").await);
    }
    for answer in answers {
        let status = status(answer).await;
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into())
        );
    }
}

/// A frame is a byte that says whether it is compressed, the length in four, and the message.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_frame_is_the_callers_fault() {
    let server = Running::start(GRACE).await;
    let mut raw = Raw::connect(&server).await;
    let bodies: [(&str, &[u8]); 4] = [
        ("nothing", b""),
        ("less than its length", b"\0\0\0\0\x07\x12"),
        ("compressed in no encoding", b"\x01\0\0\0\0"),
        ("neither compressed nor not", b"\x07\0\0\0\0"),
    ];
    for (what, body) in bodies {
        let status = status(raw.send("5S", body).await).await;
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, "INVALID_REQUEST".into()),
            "{what}"
        );
        assert!(status.get_details_bad_request().is_some(), "{what}");
    }
}

/// A connection on which a caller sends what it likes.
struct Raw {
    sender: h2::client::SendRequest<Bytes>,
    _connection: JoinSet<()>,
}

impl Raw {
    async fn connect(server: &Running) -> Self {
        let socket = TcpStream::connect(server.address).await;
        let socket = socket.expect("it listens");
        let (sender, connection) = h2::client::handshake(socket)
            .await
            .expect("it speaks HTTP/2");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connection.await.expect("the connection holds") });
        Self {
            sender,
            _connection: tasks,
        }
    }

    async fn send(&mut self, timeout: &str, body: &'static [u8]) -> h2::client::ResponseFuture {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("http://shop{LIST}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .body(())
            .expect("it is a request");
        let ready = self.sender.clone().ready().await;
        self.sender = ready.expect("the connection holds");
        let sent = self.sender.send_request(request, false);
        let (answer, mut stream) = sent.expect("it is open");
        let sent = stream.send_data(Bytes::from_static(body), true);
        sent.expect("it is open");
        answer
    }
}

async fn status(answer: h2::client::ResponseFuture) -> Status {
    let answer = answer.await.expect("it is answered");
    Status::from_header_map(answer.headers())
        .unwrap_or_else(|| panic!("it has a status: {answer:?}"))
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
