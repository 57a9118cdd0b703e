//! Over real sockets, with real clients.

mod drain;
mod errors;

use super::{MAX_REQUEST_BYTES, Readiness, Server};
use crate::{client, stream};
use futures::{Stream, stream as streams};
use lifecycle::Stop;
use proto::operations::v1::{
    ListCircuitsRequest, ListCircuitsResponse, WatchCircuitsRequest, WatchCircuitsResponse,
    circuits_service_client::CircuitsServiceClient,
    circuits_service_server::{CircuitsService, CircuitsServiceServer},
};
use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time};
use tonic::{Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

const SERVICE: &str = "coffeeshop.operations.v1.CircuitsService";

/// A server with one service, whose calls take as long as they are told.
struct Running {
    address: SocketAddr,
    stop: Stop,
    readiness: Readiness,
    /// A call has begun.
    begun: Arc<Notify>,
    serving: JoinSet<anyhow::Result<()>>,
}

impl Running {
    async fn start(grace: Duration) -> Self {
        let running = Self::start_unready(grace).await;
        running.readiness.ready().await;
        running
    }

    async fn start_unready(grace: Duration) -> Self {
        let stop = Stop::new();
        Self::start_with(stop.clone(), stop, grace).await
    }

    /// Its streams never hear of the stop.
    async fn start_deaf(grace: Duration) -> Self {
        let running = Self::start_with(Stop::new(), Stop::new(), grace).await;
        running.readiness.ready().await;
        running
    }

    async fn start_with(stop: Stop, stop_of_streams: Stop, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has a free port");
        Self::start_on(listener, stop, stop_of_streams, grace)
    }

    fn start_on(listener: TcpListener, stop: Stop, stop_of_streams: Stop, grace: Duration) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let begun = Arc::new(Notify::new());
        let circuits = Circuits {
            begun: begun.clone(),
            stop: stop_of_streams,
        };
        let circuits =
            CircuitsServiceServer::new(circuits).max_decoding_message_size(MAX_REQUEST_BYTES);
        let server = Server::new(SERVICE).add_service(circuits);
        let readiness = server.readiness();
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(listener, stop.clone(), grace));
        Self {
            address,
            stop,
            readiness,
            begun,
            serving,
        }
    }

    fn channel(&self) -> Channel {
        client::channel(&format!("http://{}", self.address)).expect("it is a URL")
    }

    fn client(&self) -> CircuitsServiceClient<Channel> {
        CircuitsServiceClient::new(self.channel())
    }

    /// Waits for the end of a stop.
    async fn stopped(&mut self) -> anyhow::Result<()> {
        let served = time::timeout(Duration::from_secs(10), self.serving.join_next());
        let served = served.await.expect("a stop is bounded");
        served.expect("it was spawned").expect("it did not panic")
    }
}

/// `page_token` says how many milliseconds a call takes.
struct Circuits {
    begun: Arc<Notify>,
    stop: Stop,
}

#[tonic::async_trait]
impl CircuitsService for Circuits {
    async fn list_circuits(
        &self,
        request: Request<ListCircuitsRequest>,
    ) -> Result<Response<ListCircuitsResponse>, Status> {
        self.begun.notify_one();
        let token = request.into_inner().page_token;
        let millis = token
            .trim()
            .parse()
            .map_err(|_| Status::internal("no number"))?;
        time::sleep(Duration::from_millis(millis)).await;
        Ok(Response::new(ListCircuitsResponse::default()))
    }

    type WatchCircuitsStream =
        Pin<Box<dyn Stream<Item = Result<WatchCircuitsResponse, Status>> + Send>>;

    async fn watch_circuits(
        &self,
        _: Request<WatchCircuitsRequest>,
    ) -> Result<Response<Self::WatchCircuitsStream>, Status> {
        let endless = streams::pending();
        Ok(Response::new(Box::pin(stream::until_stop(
            endless,
            self.stop.clone(),
        ))))
    }
}

fn takes(millis: u64) -> ListCircuitsRequest {
    ListCircuitsRequest {
        page_token: millis.to_string(),
        ..ListCircuitsRequest::default()
    }
}

fn reason(status: &Status) -> String {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("every error has ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "coffeeshop");
    info.reason
}
