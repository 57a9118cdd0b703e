use super::*;
use proto::operations::v1::{ListCircuitsRequest, circuits_service_client::CircuitsServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

#[tokio::test]
async fn a_server_that_dies_during_a_call_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client comes");
        let mut connection = h2::server::handshake(socket).await.expect("it is HTTP/2");
        // The call is taken, and the connection closed without a word.
        drop(connection.accept().await.expect("a call comes"));
    });
    let channel = channel(&format!("http://{address}")).expect("it is a URL");
    let mut client = CircuitsServiceClient::new(channel);
    let request = request(ListCircuitsRequest::default(), Duration::from_secs(10));
    let broken = client.list_circuits(request).await;
    let broken = broken.expect_err("nobody answers");
    assert_ne!(broken.code(), Code::Unavailable, "then this is superfluous");
    assert_eq!(normalize(broken).code(), Code::Unavailable);
}

#[tokio::test]
async fn what_waits_for_a_connection_that_ends_was_not_sent_and_what_was_taken_is_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut server = JoinSet::new();
    server.spawn(takes_one_and_goes(listener));
    let channel = channel(&format!("http://{address}")).expect("it is a URL");
    let client = CircuitsServiceClient::new(channel);
    let call = async || {
        let mut client = client.clone();
        let request = request(ListCircuitsRequest::default(), Duration::from_secs(10));
        let answer = client.list_circuits(request).await.map_err(normalize);
        answer.expect_err("nobody answers OK")
    };
    assert_eq!(call().await.code(), Code::NotFound, "it is connected");

    // One is taken, one has begun and may not be sent yet, one is behind it. Of the second hyper
    // says only that it is gone.
    let (taken, _, behind) = tokio::join!(call(), call(), call());

    assert!(!was_not_begun(&taken), "{taken:?}");
    assert!(was_not_begun(&behind), "{behind:?}");
    assert_eq!(
        [taken.code(), behind.code()],
        [Code::Unavailable, Code::Unavailable]
    );
}

#[tokio::test]
async fn a_call_that_a_server_has_not_taken_when_it_goes_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut server = JoinSet::new();
    server.spawn(takes_nothing(listener));
    let channel = channel(&format!("http://{address}")).expect("it is a URL");
    let mut client = CircuitsServiceClient::new(channel);
    let request = request(ListCircuitsRequest::default(), Duration::from_secs(10));
    let refused = client.list_circuits(request).await;
    let refused = refused.expect_err("nobody answers");
    assert_eq!(refused.code(), Code::Internal, "else this is superfluous");
    let refused = normalize(refused);
    assert!(was_not_begun(&refused), "{refused:?}");
}

/// Reads a call, and says that it goes and has taken none.
async fn takes_nothing(listener: TcpListener) {
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (mut line, _) = listener.accept().await.expect("a client comes");
    let mut preface = [0; 24];
    line.read_exact(&mut preface).await.expect("it is HTTP/2");
    loop {
        let mut head = [0; 9];
        line.read_exact(&mut head).await.expect("a call comes");
        let [high, middle, low, kind, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut frame = (&mut line).take(length.into());
        tokio::io::copy(&mut frame, &mut tokio::io::sink())
            .await
            .expect("it is whole");
        if kind == HEADERS {
            break;
        }
    }
    let goodbye = [&SETTINGS[..], &GOAWAY[..]].concat();
    line.write_all(&goodbye).await.expect("the client listens");
    // Open until the client has heard it.
    tokio::io::copy(&mut line, &mut tokio::io::sink())
        .await
        .ok();
}

#[tokio::test]
async fn a_call_to_a_closed_door_was_not_sent() {
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").await;
    let address = address.and_then(|listener| listener.local_addr());
    let channel = channel(&format!("http://{}", address.expect("it is bound")));
    let mut client = CircuitsServiceClient::new(channel.expect("it is a URL"));
    let request = request(ListCircuitsRequest::default(), Duration::from_secs(10));
    let refused = client.list_circuits(request).await.map_err(normalize);
    let refused = refused.expect_err("nobody listens");
    assert!(was_not_begun(&refused), "{refused:?}");
}

/// Refuses the first call, so that the client knows how many may be under way: one. Takes the next,
/// and ends the connection as a server does that stops.
async fn takes_one_and_goes(listener: TcpListener) {
    let (socket, _) = listener.accept().await.expect("a client comes");
    let mut server = h2::server::Builder::new();
    let handshake = server
        .max_concurrent_streams(1)
        .handshake::<_, bytes::Bytes>(socket);
    let mut connection = handshake.await.expect("it is HTTP/2");
    let first = connection.accept().await.expect("a call comes");
    let (_, mut answer) = first.expect("it is whole");
    let refusal = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", Code::NotFound as i32)
        .body(())
        .expect("it is a response");
    answer.send_response(refusal, true).expect("it is open");
    let taken = connection.accept().await.expect("another one comes");
    connection.abrupt_shutdown(h2::Reason::NO_ERROR);
    while connection.accept().await.is_some() {}
    drop(taken);
}

#[test]
fn what_a_server_says_is_not_changed() {
    for code in [Code::Unknown, Code::Cancelled, Code::Internal] {
        assert_eq!(normalize(Status::new(code, "said so")).code(), code);
    }
}
