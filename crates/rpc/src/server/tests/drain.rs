use super::{Running, SERVICE, reason, takes};
use hyper_util::rt::TokioIo;
use lifecycle::Stop;
use proto::operations::v1::{WatchCircuitsRequest, circuits_service_client::CircuitsServiceClient};
use std::{
    future::ready,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time,
};
use tonic::{
    Code, Response, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

const GRACE: Duration = Duration::from_secs(5);
/// Well under the grace, well over what a stop without calls takes.
const SOON: Duration = Duration::from_secs(2);

fn asks(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn health(client: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let answer = client.check(asks(service)).await.expect("health answers");
    answer.into_inner().status()
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let update = watch.message().await.expect("the watch goes on");
    update.expect("the watch goes on").status()
}

#[tokio::test]
async fn the_process_is_alive_before_its_service_is_ready() {
    let server = Running::start_unready(GRACE).await;
    let mut client = HealthClient::new(server.channel());
    assert_eq!(health(&mut client, "").await, ServingStatus::Serving);
    assert_eq!(
        health(&mut client, SERVICE).await,
        ServingStatus::NotServing
    );
    server.readiness.ready().await;
    assert_eq!(health(&mut client, SERVICE).await, ServingStatus::Serving);
}

#[tokio::test]
async fn a_call_before_the_service_is_ready_is_refused_and_not_begun() {
    let server = Running::start_unready(GRACE).await;
    let mut client = server.client();
    let early = client.list_circuits(takes(0)).await;
    let early = early.expect_err("it is not ready");
    assert_eq!(
        (early.code(), reason(&early)),
        (Code::Unavailable, "STARTING".into())
    );
    assert!(crate::client::was_not_begun(&early), "{early:?}");
    server.readiness.ready().await;
    let answer = client.list_circuits(takes(0)).await;
    answer.expect("it is ready");
    server.readiness.not_ready().await;
    let answer = client.list_circuits(takes(0)).await;
    answer.expect("whoever still comes is served");
}

#[tokio::test]
async fn a_call_in_flight_finishes_while_health_says_not_serving() {
    let mut server = Running::start(GRACE).await;
    server.readiness.ready().await;
    let watch = HealthClient::new(server.channel())
        .watch(asks(SERVICE))
        .await;
    let mut watch = watch.expect("health answers").into_inner();
    assert_eq!(next(&mut watch).await, ServingStatus::Serving);

    let mut call = begin(&server, 500).await;
    server.stop.cancel();
    assert_eq!(next(&mut watch).await, ServingStatus::NotServing);
    assert!(
        call.try_join_next().is_none(),
        "the call is still in flight"
    );
    let answer = call.join_next().await.expect("it was spawned");
    answer
        .expect("it did not panic")
        .expect("the call finished");
    server.stopped().await.expect("all calls were over");
}

#[tokio::test]
async fn a_call_that_was_on_its_way_at_the_stop_finishes() {
    let mut server = Running::start(GRACE).await;
    let line = LateLine::to(server.address).await;
    let mut client = line.client();
    client
        .list_circuits(takes(0))
        .await
        .expect("it is connected");
    // Nothing is in flight. The client will be told to go, and does not know it yet.
    server.stop.cancel();
    let answer = client.list_circuits(takes(1_000)).await;
    answer.expect("the call was let in");
    server.stopped().await.expect("all calls were over");
}

#[tokio::test]
async fn nobody_who_had_connected_before_the_stop_is_left_in_doubt() {
    // It is chance which of them the server sees first, the stop or those who wait.
    for _ in 0..8 {
        some_are_at_the_door_at_the_stop().await;
    }
}

async fn some_are_at_the_door_at_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut calls = JoinSet::new();
    for _ in 0..WAITING {
        // The kernel has connected them; nobody has accepted them.
        let line = TcpStream::connect(address).await.expect("it listens");
        calls.spawn(call_over(line));
    }
    let stop = Stop::new();
    stop.cancel();
    let mut server = Running::start_on(listener, stop, Stop::new(), GRACE);
    server.readiness.ready().await;
    while let Some(answer) = calls.join_next().await {
        if let Err(status) = answer.expect("it did not panic") {
            assert!(crate::client::was_not_begun(&status), "{status:?}");
        }
    }
    server.stopped().await.expect("all calls were over");
}

/// As many as it takes for the stop to overtake one of them.
const WAITING: usize = 16;

async fn call_over(line: TcpStream) -> Answer {
    let mut line = Some(TokioIo::new(line));
    let connector = tower::service_fn(move |_: http::Uri| {
        let line = line.take().ok_or(ErrorKind::ConnectionRefused);
        ready(line.map_err(std::io::Error::from))
    });
    let endpoint = Endpoint::from_static("http://door");
    let mut client = CircuitsServiceClient::new(endpoint.connect_with_connector_lazy(connector));
    let answer = client.list_circuits(takes(0)).await;
    answer.map_err(crate::client::normalize)
}

#[tokio::test]
async fn a_stop_wins_over_a_start_that_is_late() {
    let mut server = Running::start(GRACE).await;
    let watch = HealthClient::new(server.channel())
        .watch(asks(SERVICE))
        .await;
    let mut watch = watch.expect("health answers").into_inner();
    let _call = begin(&server, 500).await;
    server.stop.cancel();
    server.stopped().await.expect("all calls were over");
    server.readiness.ready().await;
    let mut last = None;
    while let Ok(Ok(Some(update))) =
        time::timeout(Duration::from_millis(100), watch.message()).await
    {
        last = Some(update.status());
    }
    assert_eq!(last, Some(ServingStatus::NotServing));
}

#[tokio::test]
async fn clients_that_keep_their_connection_do_not_hold_the_stop() {
    let mut server = Running::start(GRACE).await;
    let mut idle = server.client();
    idle.list_circuits(takes(0)).await.expect("it is connected");
    // It says nothing at all, not even that it speaks HTTP/2.
    let mut silent = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    silent.read_u8().await.expect("the server speaks first");

    let begin = Instant::now();
    server.stop.cancel();
    server.stopped().await.expect("no call was in flight");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_watch_ends_itself_as_draining() {
    let mut server = Running::start(GRACE).await;
    let watch = server
        .client()
        .watch_circuits(WatchCircuitsRequest {})
        .await;
    let mut watch = watch.expect("it begins").into_inner();
    let begin = Instant::now();
    server.stop.cancel();
    let error = watch.message().await.expect_err("it ends with an error");
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::Unavailable, "DRAINING".into())
    );
    server.stopped().await.expect("no call was in flight");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_watch_that_does_not_end_is_an_error() {
    let mut server = Running::start_deaf(Duration::from_millis(300)).await;
    let watch = server
        .client()
        .watch_circuits(WatchCircuitsRequest {})
        .await;
    let _watch = watch.expect("it begins").into_inner();
    server.stop.cancel();
    let error = server.stopped().await.expect_err("a stream was left");
    assert!(
        error.to_string().starts_with("1 calls were cut off"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_longer_than_the_grace_is_cut_off_and_an_error() {
    let mut server = Running::start(Duration::from_millis(300)).await;
    let mut call = begin(&server, 60_000).await;
    server.stop.cancel();
    let error = server.stopped().await.expect_err("a call was cut off");
    assert!(
        error.to_string().starts_with("1 calls were cut off"),
        "{error}"
    );
    let answer = call.join_next().await.expect("it was spawned");
    let status = answer
        .expect("it did not panic")
        .expect_err("it was cut off");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, "OUTCOME_UNKNOWN".into())
    );
}

/// A line on which clients hear late what the server says.
struct LateLine {
    address: SocketAddr,
    _carrying: JoinSet<()>,
}

impl LateLine {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let (client, _) = listener.accept().await.expect("somebody connects");
            let server = TcpStream::connect(server).await.expect("it listens");
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            let there = tokio::io::copy(&mut from_client, &mut to_server);
            let _ = tokio::join!(there, late(from_server, to_client));
        });
        Self {
            address,
            _carrying: carrying,
        }
    }

    fn client(&self) -> CircuitsServiceClient<Channel> {
        let channel = crate::client::channel(&format!("http://{}", self.address));
        CircuitsServiceClient::new(channel.expect("it is a URL"))
    }
}

async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut chunk = vec![0; 4096];
    loop {
        let length = from.read(&mut chunk).await?;
        time::sleep(Duration::from_millis(200)).await;
        match length {
            0 => return to.shutdown().await,
            _ => to.write_all(&chunk[..length]).await?,
        }
    }
}

type Answer = Result<Response<proto::operations::v1::ListCircuitsResponse>, tonic::Status>;

/// A call that the server is at when this returns.
async fn begin(server: &Running, millis: u64) -> JoinSet<Answer> {
    let mut client = server.client();
    client
        .list_circuits(takes(0))
        .await
        .expect("it is connected");
    server.begun.notified().await;
    let mut call = JoinSet::new();
    call.spawn(async move { client.list_circuits(takes(millis)).await });
    server.begun.notified().await;
    call
}
