//! Watchers who do not read.
//!
//! Problem: HTTP/2 asks a stream for its next message when its watcher has room for it. One whose
//! watcher reads no more, on a connection that lives, is never asked again, not even whether it is
//! over: it keeps its place, its subscription and what it has read for ever, and holds up every stop.
//! Guarantee: once a message has waited for `patience`, or a quarter longer, the stream is dropped
//! with all that it holds. Its watcher, reading on, gets what was sent and then
//! `ABORTED WATCHER_TOO_SLOW`: resume after that. After a stop, no drain waits for such a watcher.
//! Not guaranteed: the end of one who takes a message now and then. Nothing is buffered for it. Nor
//! that of one whose window holds all that is sent: it costs us nothing to wait for.

use crate::{
    methods,
    status::{self, Reason},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use hyper::body::Frame;
use lifecycle::Stop;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{self, Instant};
use tonic::Status;

/// How long a message may wait after the stop, if the drain is not shorter.
const PARTING: Duration = Duration::from_secs(1);
/// When to resume.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The streams of one server. Clones share them.
#[derive(Clone)]
pub(crate) struct Streams {
    patience: Duration,
    open: Arc<Mutex<Vec<Weak<Mutex<Answer>>>>>,
}

/// A stream that is being sent.
struct Answer {
    method: &'static str,
    /// None once it was given up.
    body: Option<Body>,
    /// Since when a message has waited for room.
    waiting: Option<Instant>,
    /// What is said when it was given up.
    word: Option<Status>,
}

impl Streams {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            open: Arc::default(),
        }
    }

    fn hold(&self, response: Response, method: &'static str) -> Response {
        response.map(|body| {
            let answer = Arc::new(Mutex::new(Answer {
                method,
                body: Some(body),
                waiting: None,
                word: None,
            }));
            lock(&self.open).push(Arc::downgrade(&answer));
            Body::new(Sent(answer))
        })
    }

    /// Gives up what waits for too long; until the stop, and after it what holds up the drain.
    pub(crate) async fn watch<T>(&self, stop: &Stop, grace: Duration) -> T {
        while !stop.is_cancelled() {
            let pause = time::sleep(self.patience / 4);
            stop.run_until_cancelled(pause).await;
            self.give_up(self.patience, too_slow);
        }
        let parting = PARTING.min(grace / 2).min(self.patience);
        loop {
            time::sleep(parting / 4).await;
            self.give_up(parting, status::draining);
        }
    }

    fn give_up(&self, patience: Duration, word: fn() -> Status) {
        // Streams are dropped when this is unlocked: what they hold has locks of its own.
        let mut given_up = Vec::new();
        lock(&self.open).retain(|answer| {
            let Some(answer) = answer.upgrade() else {
                return false;
            };
            let mut answer = match answer.try_lock() {
                Ok(answer) => answer,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // It is being asked for a message.
                Err(TryLockError::WouldBlock) => return true,
            };
            if !answer.waits_longer_than(patience) {
                return true;
            }
            answer.word = Some(word());
            given_up.push((answer.method, answer.body.take()));
            false
        });
        for (method, _) in given_up {
            tracing::info!(method, "a watcher does not read: its stream is closed");
        }
    }
}

impl Answer {
    fn waits_longer_than(&self, patience: Duration) -> bool {
        self.waiting
            .is_some_and(|since| since.elapsed() >= patience)
    }
}

/// The body that the connection asks for messages.
struct Sent(Arc<Mutex<Answer>>);

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut answer = lock(&self.0);
        // Whoever asks for a message has found room for the one before.
        answer.waiting = None;
        if let Some(word) = answer.word.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&word)))));
        }
        let Some(body) = &mut answer.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        let is_message = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        answer.waiting = is_message.then(Instant::now);
        Poll::Ready(frame)
    }
}

/// Keeps an eye on a call that answers with a stream.
pub(crate) async fn layer(
    State(streams): State<Streams>,
    request: Request,
    next: Next,
) -> Response {
    let stream = methods::stream(request.uri().path());
    let response = next.run(request).await;
    match stream {
        Some(method) => streams.hold(response, method),
        None => response,
    }
}

fn too_slow() -> Status {
    let message = "nobody took what was sent: resume after the last message that arrived";
    status::aborted(Reason::WatcherTooSlow, message, RETRY_AFTER)
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let added = status.add_header(&mut trailers);
    added.expect("our own words can be headers");
    trailers
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panicked is a stream, and hyper drops it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
