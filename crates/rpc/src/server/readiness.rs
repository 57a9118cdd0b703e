//! Readiness, as `grpc.health.v1` tells it.
//!
//! The service's own name is readiness: started, migrated, not draining. The empty name
//! is liveness: the process runs. Neither follows a dependency: one blip of a database
//! would take out every instance at once.

use crate::{is_internal, status};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::FutureExt as _;
use lifecycle::Stop;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

/// Tells whether the service is ready. Clones tell of the same one.
#[derive(Clone)]
pub struct Readiness {
    reporter: HealthReporter,
    service: &'static str,
    ready: Stop,
    draining: Stop,
}

impl Readiness {
    pub(super) fn new(service: &'static str) -> (Self, HealthServer<impl Health>) {
        let (reporter, health) = health_reporter();
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .now_or_never()
            .expect("nobody else holds the reporter's lock yet");
        let draining = Stop::new();
        (
            Self {
                reporter,
                service,
                ready: Stop::new(),
                draining,
            },
            health,
        )
    }

    /// The service takes calls from now on.
    pub async fn ready(&self) {
        self.ready.cancel();
        self.set(ServingStatus::Serving).await;
        // A start that was overtaken by the stop: the stop has the last word.
        if self.draining.is_cancelled() {
            self.not_ready().await;
        }
    }

    /// The service takes no calls from now on.
    pub async fn not_ready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Not ready, and never again.
    pub(super) async fn drain(&self) {
        self.draining.cancel();
        self.not_ready().await;
    }

    async fn set(&self, status: ServingStatus) {
        self.reporter.set_service_status(self.service, status).await;
    }

    /// Whether this call comes before the process was ready. Health and reflection can be asked.
    fn is_early(&self, path: &str) -> bool {
        !self.ready.is_cancelled() && !is_internal(path)
    }
}

/// Refuses calls until the process is ready for the first time: nothing may be written before it
/// knows that its database is its own. Who was connected to the
/// process before this one comes back as soon as somebody listens, and asks no health check.
pub(super) async fn layer(
    State(readiness): State<Readiness>,
    request: Request,
    next: Next,
) -> Response {
    match readiness.is_early(request.uri().path()) {
        true => status::starting().into_http(),
        false => next.run(request).await,
    }
}
