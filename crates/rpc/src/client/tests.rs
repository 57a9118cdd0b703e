use super::*;
use proto::operations::v1::{ListCircuitsRequest, circuits_service_client::CircuitsServiceClient};
use tokio::{net::TcpListener, task::JoinSet};

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

#[test]
fn what_a_server_says_is_not_changed() {
    for code in [Code::Unknown, Code::Cancelled, Code::Internal] {
        assert_eq!(normalize(Status::new(code, "said so")).code(), code);
    }
}
