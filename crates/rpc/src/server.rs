//! The server of every process: what is around the calls, and how it stops.
//!
//! Stopping: readiness says NOT_SERVING, who has connected is let in and hardly anybody after them,
//! connections are told to go (GOAWAY), streams end themselves on the same stop, calls in
//! flight finish.
//! tonic alone would wait for its clients, and a silent one can hold it for ever; so the
//! drain waits for *calls*, at most `grace`, and cuts off those that are left.

use crate::{
    calls, calls::Calls, deadline, metrics, normalize, slow, slow::Streams, stream, trace,
};
use anyhow::{Context as _, ensure};
use axum::middleware::{from_fn, from_fn_with_state};
use lifecycle::Stop;
use std::{
    convert::Infallible,
    future::{Future, pending},
    net::SocketAddr,
    pin::pin,
    time::Duration,
};
use tokio::{net::TcpListener, time};
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport,
};
use tower::{Service, ServiceBuilder};

/// Connections that come in.
mod incoming;
/// Whether the service is ready.
mod readiness;

use incoming::Incoming;
pub use readiness::Readiness;

/// The largest request; a service sets it with `max_decoding_message_size`. The largest
/// legal order has a tenth of it.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// After the last call: time for its answer to leave, not for clients that say nothing.
const GOODBYE: Duration = Duration::from_millis(250);

/// How long a connection may be silent, unless configured otherwise.
const KEEPALIVE: &str = "30s";

/// How long a client that is asked whether it is there may take.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Where calls come in. `PORT` is the service's own.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options<const PORT: u16> {
    /// Address and port to serve on; calls are plain text, so that it is loopback unless told otherwise
    #[arg(long, env, default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT)))]
    pub listen: SocketAddr,
    /// How long calls in flight may take to finish when the process stops
    #[arg(long, env, default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_grace: Duration,
    /// How long a connection may be silent before its client is asked whether it is there; one that does
    /// not answer within 10 s is closed, and its streams with it
    #[arg(long, env, default_value = KEEPALIVE, value_parser = stream::some_time)]
    pub keepalive: Duration,
}

/// A gRPC server with health and reflection.
pub struct Server {
    routes: RoutesBuilder,
    readiness: Readiness,
    /// What reflection lists: the contracts hold services of other processes, too.
    names: Vec<&'static str>,
    keepalive: Duration,
    watch_patience: Duration,
}

impl Server {
    /// A server whose readiness is that of `ready_service`, its full name.
    pub fn new(ready_service: &'static str) -> Self {
        let (readiness, health) = Readiness::new(ready_service);
        let (routes, names) = (Routes::builder(), Vec::new());
        let server = Self {
            routes,
            readiness,
            names,
            keepalive: default(KEEPALIVE),
            watch_patience: default(stream::WATCH_PATIENCE),
        };
        server.add_service(health)
    }

    /// Adds a service.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// How long a connection may be silent, if not 30 s: see [`Options::keepalive`].
    #[must_use]
    pub fn keepalive(self, keepalive: Duration) -> Self {
        Self { keepalive, ..self }
    }

    /// How long a message of a stream may wait for its watcher, if not 30 s.
    #[must_use]
    pub fn watch_patience(self, watch_patience: Duration) -> Self {
        Self {
            watch_patience,
            ..self
        }
    }

    /// Says whether the service is ready; not before it is told.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `stop`, then drains for at most `grace`. Calls cut off are an error;
    /// a client that keeps its connection is not.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: Stop,
        grace: Duration,
    ) -> anyhow::Result<()> {
        let (calls, streams) = (Calls::default(), Streams::new(self.watch_patience));
        let closing = Stop::new();
        let incoming = Incoming::new(listener, closing.clone());
        let around = Around {
            calls: calls.clone(),
            streams: streams.clone(),
            readiness: self.readiness.clone(),
        };
        let routes = with_reflection(self.routes, &self.names);
        let serving = serve(routes, incoming, around, self.keepalive);
        let mut serving = pin!(async {
            tokio::select! {
                served = serving => served,
                never = streams.watch(&stop, grace) => never,
            }
        });
        tokio::select! {
            served = &mut serving => return served,
            () = stop.cancelled() => {}
        }
        self.readiness.drain().await;
        closing.cancel();
        let drained = time::timeout(grace, drain(serving, &calls)).await;
        // Counted first: cutting them off ends them.
        let left = calls.count();
        calls.cut_off();
        ensure!(
            left == 0,
            "{left} calls were cut off, {grace:?} after the stop"
        );
        // Time may be over without a call left: then a client kept its connection.
        drained.unwrap_or(Ok(()))
    }
}

fn default(time: &str) -> Duration {
    stream::some_time(time).expect("our own defaults are times")
}

/// Waits for the calls in flight. Connections may outlive them for a moment.
async fn drain(
    mut serving: impl Future<Output = anyhow::Result<()>> + Unpin,
    calls: &Calls,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            served = &mut serving => return served,
            () = calls.over() => {}
        }
        match time::timeout(GOODBYE, &mut serving).await {
            Ok(served) => return served,
            // A call that was on its way when its client was told of the end. It was let in, so
            // it has the same time as those before it.
            Err(_) if calls.count() > 0 => {}
            Err(_) => return Ok(()),
        }
    }
}

/// What the layers share with the server.
struct Around {
    calls: Calls,
    streams: Streams,
    readiness: Readiness,
}

async fn serve(
    routes: Routes,
    incoming: Incoming,
    around: Around,
    keepalive: Duration,
) -> anyhow::Result<()> {
    // In the order of a request.
    let layers = ServiceBuilder::new()
        // Outermost and not async: see there.
        .map_request(deadline::note)
        // Around the rest, so that both see the status that the caller gets.
        .layer(from_fn(metrics::layer))
        .layer(from_fn(trace::layer))
        // Around what counts calls: a stream that is given up is none any more.
        .layer(from_fn_with_state(around.streams, slow::layer))
        // Inside the span: a call that is cut off shows in it.
        .layer(from_fn_with_state(around.calls, calls::layer))
        // Inside whatever notes a call: one that is refused shows, too.
        .layer(from_fn_with_state(around.readiness, readiness::layer))
        // Next to the services: what is inside may be answered by tonic itself.
        .layer(from_fn(normalize::layer))
        .layer(from_fn(deadline::layer))
        .into_inner();
    transport::Server::builder()
        // Finds clients that vanished without a word; they hold memory and a drain.
        .http2_keepalive_interval(Some(keepalive))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        // A connection's share. Without one, a single client could queue without end.
        .max_concurrent_streams(1024)
        // Ours are a few hundred bytes. Whatever is sent here is held before it is judged.
        .http2_max_header_list_size(16 * 1024)
        // Bounds what a client gains by opening and resetting streams ("rapid reset").
        .http2_max_pending_accept_reset_streams(Some(20))
        // gRPC needs HTTP/2. There is no time limit either: a deadline is the caller's.
        .accept_http1(false)
        .layer(layers)
        .add_routes(routes)
        // The end of what comes in is the stop. A signal of its own would overtake those who have
        // connected already.
        .serve_with_incoming_shutdown(incoming, pending())
        .await
        .context("serving gRPC")
}

/// Adds reflection, also the older version, for which some clients ask alone.
fn with_reflection(mut routes: RoutesBuilder, names: &[&'static str]) -> Routes {
    let builder = || {
        let all = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // No service's: with these, grpcurl shows the details of our errors as text.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        names
            .iter()
            .fold(all, |builder, name| builder.with_service_name(*name))
    };
    let valid = "our own descriptors are valid";
    routes.add_service(builder().build_v1().expect(valid));
    routes.add_service(builder().build_v1alpha().expect(valid));
    routes.routes()
}

#[cfg(test)]
mod tests;
