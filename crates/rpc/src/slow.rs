//! Watchers who do not read.
//!
//! Problem: hyper asks a stream for its next message, and holds that until its watcher has room for
//! it. One whose watcher reads no more, on a connection that lives, is not asked again, not even
//! whether it is over: it keeps its place and its subscription for ever, and holds up every stop.
//! Guarantee: once a message has waited for `patience`, or a quarter longer, the stream is dropped
//! with what it holds of ours. Its watcher, reading on, gets what was sent and then
//! `ABORTED WATCHER_TOO_SLOW`: resume after that. After a stop, no drain waits for such a watcher.
//! Not guaranteed: the end of one who takes a message now and then. Nothing is buffered for it. Nor
//! that of one whose window holds all that is sent: it costs us nothing to wait for. What hyper and
//! h2 hold (one chunk, the stream's state) and its span live until the watcher reads or its
//! connection ends.

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
const SHORTEST: Duration = Duration::from_millis(10);
/// Between two sweeps at most: they forget streams that ended.
const SWEEP: Duration = Duration::from_secs(10);
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
            let pause = time::sleep((self.patience / 4).min(SWEEP));
            stop.run_until_cancelled(pause).await;
            self.give_up(self.patience, too_slow);
        }
        let parting = PARTING.min(grace / 2).min(self.patience);
        // Whatever the grace, this rests.
        let parting = parting.max(SHORTEST);
        loop {
            time::sleep(parting / 4).await;
            self.give_up(parting, status::draining);
        }
    }

    fn give_up(&self, patience: Duration, word: fn() -> Status) {
        // Not under the lock: one that ends meanwhile is dropped here, with locks of its own.
        let mut open = Vec::new();
        lock(&self.open).retain(|answer| {
            let answer = answer.upgrade();
            let is_open = answer.is_some();
            open.extend(answer);
            is_open
        });
        for answer in open {
            if let Some((method, _body)) = give_up(&answer, patience, word) {
                tracing::info!(method, "a watcher does not read: its stream is closed");
            }
        }
    }
}

/// What was given up, if a message has waited for too long.
fn give_up(
    answer: &Mutex<Answer>,
    patience: Duration,
    word: fn() -> Status,
) -> Option<(&'static str, Option<Body>)> {
    let mut answer = match answer.try_lock() {
        Ok(answer) => answer,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // It is being asked for a message.
        Err(TryLockError::WouldBlock) => return None,
    };
    if !answer.waits_longer_than(patience) {
        return None;
    }
    answer.waiting = None;
    answer.word = Some(word());
    Some((answer.method, answer.body.take()))
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

    // An error of the call has no body, and gRPC wants its headers to be the end.
    fn is_end_stream(&self) -> bool {
        let answer = lock(&self.0);
        let over = answer.body.as_ref().is_none_or(HttpBody::is_end_stream);
        over && answer.word.is_none()
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::future;

    fn held(streams: &Streams, body: Body) -> Body {
        streams
            .hold(Response::new(body), "a.Service/Watch")
            .into_body()
    }

    /// Says so much, and then nothing.
    fn endless(words: &'static [&'static str]) -> Body {
        let words = futures::stream::iter(words.iter().map(|word| Ok::<_, axum::Error>(*word)));
        let nothing = futures::stream::pending();
        Body::from_stream(futures::StreamExt::chain(words, nothing))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_given_up_with_a_word_and_what_is_idle_is_not() {
        let streams = Streams::new(Duration::from_secs(30));
        let (mut asleep, mut idle) = (
            held(&streams, endless(&["one", "two"])),
            held(&streams, endless(&["one"])),
        );
        let first = asleep.frame().await.expect("one").expect("it is well");
        assert!(first.is_data());
        idle.frame().await.expect("one").expect("it is well");
        let more = time::timeout(Duration::ZERO, idle.frame()).await;
        assert!(more.is_err(), "it waits for something to say");

        let stop = Stop::new();
        let watching = streams.watch::<()>(&stop, Duration::from_secs(10));
        let watched = time::timeout(Duration::from_secs(40), watching).await;
        assert!(watched.is_err(), "it goes on");
        let word = asleep.frame().await.expect("a word").expect("it is well");
        let word = word.trailers_ref().and_then(Status::from_header_map);
        assert_eq!(word.expect("it is the end").code(), tonic::Code::Aborted);
        assert!(asleep.frame().await.is_none());
        let more = future::poll_fn(|context| Poll::Ready(poll(&mut idle, context))).await;
        assert!(more.is_pending(), "it was not given up");
    }

    fn poll(body: &mut Body, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(body).poll_frame(context).map(drop)
    }

    #[test]
    fn an_error_of_the_call_ends_with_its_headers() {
        let streams = Streams::new(Duration::from_secs(30));
        assert!(held(&streams, Body::empty()).is_end_stream());
        assert!(!held(&streams, endless(&[])).is_end_stream());
    }
}
