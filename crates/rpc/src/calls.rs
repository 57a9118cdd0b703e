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
    if calls.cut.is_cancelled() {
        // Not begun, so that nobody is left in doubt of it.
        return status::draining().into_http();
    }
    let in_flight = calls.in_flight.token();
    tokio::select! {
        // A call that is cut off in this very moment was begun at least.
        biased;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;
    use axum::middleware::from_fn_with_state;
    use std::convert::Infallible;
    use tower::{ServiceBuilder, ServiceExt as _, service_fn};

    async fn call(calls: &Calls) -> Option<Status> {
        let answering = |_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) };
        let service = ServiceBuilder::new()
            .layer(from_fn_with_state(calls.clone(), layer))
            .service(service_fn(answering));
        let request = Request::builder().uri("/a.Service/Call");
        let request = request.body(Body::empty()).expect("it is a request");
        let response = service.oneshot(request).await.expect("it is answered");
        Status::from_header_map(response.headers())
    }

    #[tokio::test]
    async fn a_call_that_comes_after_all_were_cut_off_is_not_begun_and_not_in_doubt() {
        let calls = Calls::default();
        assert!(call(&calls).await.is_none(), "it is answered");
        calls.cut_off();
        // Whether it was let in was a matter of chance.
        for _ in 0..64 {
            let late = call(&calls).await.expect("it is refused");
            assert!(client::was_not_begun(&late), "{late:?}");
        }
    }
}
