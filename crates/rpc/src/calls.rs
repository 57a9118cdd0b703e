//! Calls in flight, for the drain: how many there are, and an end for those that would
//! outlast it.

use crate::{
    is_internal,
    status::{self, Reason},
};
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt as _;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::{Code, Status};

/// The calls of one server.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    in_flight: TaskTracker,
    cut: CancellationToken,
}

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits until no call is in flight.
    pub(crate) async fn over(&self) {
        self.in_flight.close();
        self.in_flight.wait().await;
    }

    /// Ends the calls that are still being handled.
    pub(crate) fn cut_off(&self) {
        self.cut.cancel();
    }
}

/// Counts a call until the last byte of its response is taken.
pub(crate) async fn layer(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    if is_internal(request.uri().path()) {
        return next.run(request).await;
    }
    let in_flight = calls.in_flight.token();
    tokio::select! {
        response = next.run(request) => hold(response, in_flight),
        () = calls.cut.cancelled() => cut_off().into_http(),
    }
}

fn hold(response: Response, in_flight: TaskTrackerToken) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // Moved in here, it lives as long as the body.
            let _ = &in_flight;
            frame
        }))
    })
}

/// Nobody knows how far the call got, so that no `RetryInfo` invites to repeat it.
fn cut_off() -> Status {
    let message = "this process stopped before the call was over";
    status::error(Code::Unknown, Reason::OutcomeUnknown, message, &[])
}
