//! Connections, until the stop, and those that were there before it.
//!
//! Problem: the kernel connects clients whom nobody has accepted yet. When the listener closes it
//! resets them, and whoever has sent a call by then never learns what became of it: most of them
//! on a busy machine, when it takes a while until it is the listener's turn.
//! Guarantee: whoever was connected at the stop is let in, is told to go like all others, and is
//! answered what it sends before it hears that.
//! Not guaranteed: those who connect within the microseconds between the last look and the close,
//! those behind an accept that fails for want of file descriptors, and what arrives later than
//! `GOODBYE` after the last call has ended.

use futures::Stream;
use lifecycle::Stop;
use std::{
    future::Future as _,
    io::{self, ErrorKind},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Ends after the stop.
pub(super) struct Incoming {
    listener: Listener,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

enum Listener {
    Open(TcpListener),
    /// Asked directly: tokio tells of those only of whom it has heard.
    Closing(std::net::TcpListener),
    Closed,
}

impl Incoming {
    pub(super) fn new(listener: TcpListener, stop: Stop) -> Self {
        Self {
            listener: Listener::Open(listener),
            stopped: Box::pin(stop.cancelled_owned()),
        }
    }

    /// After the stop. None when nobody waits any more, and the listener is closed.
    fn close(&mut self) -> io::Result<Option<TcpStream>> {
        let listener = match mem::replace(&mut self.listener, Listener::Closed) {
            Listener::Open(listener) => listener.into_std()?,
            Listener::Closing(listener) => listener,
            Listener::Closed => return Ok(None),
        };
        let accepted = listener.accept();
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {
                // One of them went; the others still wait.
                self.listener = Listener::Closing(listener);
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(%error, "closing the door on whoever waits there");
                return Err(error);
            }
        };
        self.listener = Listener::Closing(listener);
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream).map(Some)
    }
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = match (self.stopped.as_mut().poll(cx), &self.listener) {
            (Poll::Pending, Listener::Open(listener)) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                Some(stream)
            }
            _ => self.close()?,
        };
        if let Some(stream) = &stream {
            // Answers are small and somebody waits for each.
            stream.set_nodelay(true)?;
        }
        Poll::Ready(stream.map(Ok))
    }
}
