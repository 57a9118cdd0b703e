//! trace → deadline → retry → breaker → concurrency limit → attempt timeout → call
//!
//! Read this file from top to bottom: that is the way of a request. It is around a *typed* call,
//! because only there an error is always seen: below, it may hide in the trailers of a response
//! that has begun well.
//!
//! Guarantee: a call ends within its budget, whatever the service does, and at once while its
//! circuit is open. It may be sent several times: only for calls that are safe to repeat, as by an
//! idempotency key.
//! Not guaranteed: that a call which failed had no effect. Only `RetryInfo` promises that.

// When to send again what failed.
mod retry;

use crate::{
    breaker::{self, Breaker, Outcome, outcome},
    client, deadline,
    metrics::Measured,
    status,
};
use anyhow::ensure;
use retry::{Retries, Throttle};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument as _, Span, field::Empty};

/// Who waits for longer waits for so long.
const LONGEST_BUDGET: Duration = Duration::from_secs(60 * 60);

/// How other services are called.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// How often a call is sent while somebody waits for its answer; again only where that is safe
    /// and likely to help
    #[arg(long, env, default_value_t = 3, value_name = "TIMES",
          value_parser = clap::value_parser!(u32).range(1..=10))]
    pub call_attempts: u32,
    /// Calls to one service that may be in flight; more are refused at once
    #[arg(long, env, default_value_t = 512, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub call_concurrency: u32,
    #[command(flatten)]
    pub breaker: breaker::Options,
}

/// The way to one service. Clones share it.
#[derive(Clone)]
pub struct Outbound(Arc<Stack>);

struct Stack {
    name: &'static str,
    server: Server,
    attempts: u32,
    throttle: Throttle,
    breaker: Breaker,
    in_flight: Semaphore,
    attempt_timeout: Duration,
}

/// Where the service is, by its URL.
struct Server {
    host: String,
    port: Option<u16>,
}

impl Server {
    fn of(url: &str) -> anyhow::Result<Self> {
        let url: http::Uri = url.parse()?;
        let host = url.host().unwrap_or_default().to_owned();
        let port = url.port_u16();
        Ok(Self { host, port })
    }
}

/// Why there is no good answer.
enum Failed {
    /// The service was not asked.
    Refused(Status),
    /// It answered so, or not in time.
    Answered(Status),
}

/// One call, as all layers see it.
struct Call<M, S> {
    message: M,
    deadline: Instant,
    send: S,
}

impl Outbound {
    /// The way to the service of that name at `url`, one try of which may take
    /// `attempt_timeout`.
    ///
    /// # Errors
    /// The settings contradict each other.
    pub fn new(
        name: &'static str,
        url: &str,
        attempt_timeout: Duration,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let breaker = &options.breaker;
        ensure!(
            attempt_timeout >= Duration::from_millis(1),
            "a call of {name} that may take {attempt_timeout:?} never succeeds"
        );
        ensure!(
            breaker.circuit_longest_pause >= breaker.circuit_pause,
            "CIRCUIT_LONGEST_PAUSE is shorter than CIRCUIT_PAUSE: no pause would do"
        );
        Ok(Self(Arc::new(Stack {
            name,
            server: Server::of(url)?,
            attempts: options.call_attempts,
            throttle: Throttle::default(),
            breaker: Breaker::new(name, breaker, 2 * attempt_timeout),
            in_flight: Semaphore::new(usize::try_from(options.call_concurrency)?),
            attempt_timeout,
        })))
    }

    /// Its breaker, to be shown, or to be waited for.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// How long a call may take at most, with every try and pause of it, however large its budget.
    pub fn longest_call(&self) -> Duration {
        let Stack {
            attempts,
            attempt_timeout,
            ..
        } = *self.0;
        let tries = attempt_timeout.saturating_mul(attempts);
        let longest = tries.saturating_add(Retries::longest(attempts));
        longest.min(LONGEST_BUDGET)
    }

    /// Sends a message and waits for the answer. `method` is `package.Service/Method`.
    ///
    /// It takes `budget` at most: what is left of the caller's time, less what the caller needs to
    /// make use of the answer.
    ///
    /// # Errors
    /// What the service answered; `DEADLINE_EXCEEDED` if it did not; `UNAVAILABLE CIRCUIT_OPEN` or
    /// `RESOURCE_EXHAUSTED OVERLOADED`, each with `RetryInfo`, if it was not asked.
    pub async fn call<M, R, F>(
        &self,
        method: &'static str,
        message: M,
        budget: Duration,
        send: impl Fn(Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        // Trace: outermost, so that one span shows the whole wait, tries and pauses included, and
        // what the layers below say is said in it.
        let span = client_span(method, &self.0.server);
        let mut measured = Measured::client(method);
        let call = Call {
            message,
            // Deadline: a point in time, before anything takes some. No timer of its own: below,
            // nothing begins that could outlast it.
            deadline: Instant::now() + budget.min(LONGEST_BUDGET),
            send,
        };
        let answer = self.0.retried(&call).instrument(span.clone()).await;
        record(&span, answer.as_ref().err());
        measured.ended(answer.as_ref().err().map_or(Code::Ok, Status::code));
        answer
    }
}

impl Stack {
    /// Retry: outside the breaker, so that each try counts for it, and the one that finds it open is
    /// the last.
    async fn retried<M, R, F>(&self, call: &Call<M, impl Fn(Request<M>) -> F>) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut retries = Retries::new(self.attempts, &self.throttle);
        let mut answered = None;
        loop {
            let status = match self.admitted(call, retries.made()).await {
                Ok(answer) => {
                    self.throttle.succeeded();
                    return Ok(answer);
                }
                // Asked again, nobody would be asked again. After a try that failed, its answer is
                // the true one: something may have been done.
                Err(Failed::Refused(refusal)) => return Err(answered.unwrap_or(refusal)),
                Err(Failed::Answered(status)) => status,
            };
            let Some(pause) = retries.pause(&status, left(call.deadline)) else {
                return Err(status);
            };
            tracing::info!(code = status::name(status.code()), ?pause, "trying again");
            time::sleep(pause).await;
            answered = Some(status);
        }
    }

    /// Breaker: outside of limit and timeout, so that an open circuit costs neither a place nor time,
    /// and a try that is too slow is a failure that it sees.
    async fn admitted<M, R, F>(
        &self,
        call: &Call<M, impl Fn(Request<M>) -> F>,
        retries: u32,
    ) -> Result<R, Failed>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        if left(call.deadline).is_zero() {
            return Err(Failed::Refused(deadline::exceeded()));
        }
        let permit = self.breaker.admit();
        let permit = permit.map_err(|rejected| Failed::Refused(rejected.into()))?;
        // Caller gone here, or anywhere below: the permit is dropped, and that is neutral.
        let (answer, outcome) = self.limited(call, retries).await?;
        permit.report(outcome);
        answer.map_err(Failed::Answered)
    }

    /// Concurrency limit: a service that is slow, and not slow enough for the timeout, must not tie up
    /// all that we have. Inside the breaker, which learns nothing from it: it is our own. It does
    /// not queue: whoever waits here waits in vain if the service stays slow.
    async fn limited<M, R, F>(
        &self,
        call: &Call<M, impl Fn(Request<M>) -> F>,
        retries: u32,
    ) -> Result<(Result<R, Status>, Outcome), Failed>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let Ok(_place) = self.in_flight.try_acquire() else {
            let message = format!("too many calls of {} are in flight", self.name);
            return Err(Failed::Refused(status::overloaded(message)));
        };
        Ok(self.timed(call, retries).await)
    }

    /// Attempt timeout: around nothing but the call. The server is told of it, and gives up as well.
    /// tonic's own timer begins once there is a connection; this one does not wait for it.
    async fn timed<M, R, F>(
        &self,
        call: &Call<M, impl Fn(Request<M>) -> F>,
        retries: u32,
    ) -> (Result<R, Status>, Outcome)
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let timeout = self.attempt_timeout.min(left(call.deadline));
        let mut request = client::request(call.message.clone(), timeout);
        if retries > 0 {
            // gRFC A6. Servers tell by it what retries cost them.
            let metadata = request.metadata_mut();
            metadata.insert("grpc-previous-rpc-attempts", retries.into());
        }
        let answer = time::timeout(timeout, (call.send)(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(deadline::exceeded()));
        let answer = answer.map(Response::into_inner).map_err(client::normalize);
        let outcome = match answer.as_ref().err().map(Status::code) {
            // The caller has less time than a try is granted: that the service is slow is not said.
            Some(Code::DeadlineExceeded) if timeout < self.attempt_timeout => Outcome::Neutral,
            Some(code) => outcome(code),
            None => Outcome::Success,
        };
        (answer, outcome)
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// After the semantic conventions of OpenTelemetry, as the server span.
fn client_span(method: &'static str, server: &Server) -> Span {
    tracing::info_span!(
        "outbound call",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        error.type = Empty,
        server.address = server.host,
        server.port = server.port,
    )
}

/// To a client, every error is one.
fn record(span: &Span, error: Option<&Status>) {
    let code = error.map_or(Code::Ok, Status::code);
    span.record("rpc.response.status_code", status::name(code));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status::name(code));
    }
}

#[cfg(test)]
mod tests;
