//! One client, its server, and the bytes between them.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::{Counters, Fault, Line, trap::From};

/// The most connections at a time; more are refused.
const CONNECTIONS: usize = 1_000;
/// The most bytes that are in hand for one connection and direction.
const CHUNK: usize = 16 * 1024;
/// Before accepting again when that failed, as it does without a free file descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until it is dropped, and every connection with it.
pub(super) async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    line: watch::Sender<Line>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        if line.borrow().fault == Fault::Cut || connections.len() >= CONNECTIONS {
            count(&counters.broken);
            reset(client);
            continue;
        }
        let connection = Connection {
            number: counters.connections.fetch_add(1, Ordering::Relaxed),
            said: Arc::default(),
            line: line.subscribe(),
            cutter: line.clone(),
            counters: counters.clone(),
        };
        connections.spawn(connection.serve(client, upstream));
    }
}

/// What a connection knows of the line it is on.
#[derive(Clone)]
struct Connection {
    number: u64,
    /// How many words of a trap its client has said.
    said: Arc<AtomicUsize>,
    line: watch::Receiver<Line>,
    cutter: watch::Sender<Line>,
    counters: Arc<Counters>,
}

impl Connection {
    async fn serve(self, mut client: TcpStream, upstream: SocketAddr) {
        let (number, mut line) = (self.number, self.line.clone());
        let counters = self.counters.clone();
        let mut server = None;
        let ended = tokio::select! {
            ended = self.between(&mut client, &mut server, upstream) => ended,
            Ok(_) = line.wait_for(|line| line.resets(number)) => {
                count(&counters.broken);
                Err(io::ErrorKind::ConnectionReset.into())
            }
        };
        // An end in good order was passed on to both; any other is passed on as what it is.
        if ended.is_err() {
            reset(client);
            server.into_iter().for_each(reset);
        }
    }

    async fn between(
        mut self,
        client: &mut TcpStream,
        server: &mut Option<TcpStream>,
        upstream: SocketAddr,
    ) -> io::Result<()> {
        self.sounds().await;
        let server = server.insert(TcpStream::connect(upstream).await?);
        // A proxy that waits for more to send would be a fault of its own.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            self.clone().pump(From::Client, from_client, to_server),
            self.pump(From::Server, from_server, to_client),
        )?;
        Ok(())
    }

    /// Passes on what comes, and in the end that it ends.
    async fn pump(
        mut self,
        whose: From,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = tokio::select! {
                length = from.read(&mut buffer) => length?,
                () = self.half_closes(), if whose == From::Server => 0,
            };
            self.travel(length).await;
            if length == 0 {
                return to.shutdown().await;
            }
            self.pass_trap(whose, &buffer[..length]).await;
            if let Some(last) = self.last_bytes(whose, length) {
                to.write_all(&buffer[..last]).await?;
                return self.cut().await;
            }
            to.write_all(&buffer[..length]).await?;
        }
    }

    /// Returns when the server is to be thought silent.
    async fn half_closes(&mut self) {
        let number = self.number;
        let half_closed = self
            .line
            .wait_for(|line| line.half_closes(number))
            .await
            .is_ok();
        if half_closed {
            return count(&self.counters.half_closed);
        }
        // The proxy is gone, and this task is about to be.
        pending().await
    }

    /// How many of these bytes pass, if the line is cut after them.
    fn last_bytes(&self, whose: From, length: usize) -> Option<usize> {
        let mut last = None;
        // Nobody is woken: to those who wait for a fault, nothing has changed.
        self.cutter.send_if_modified(|line| {
            if let (From::Client, Some(left)) = (whose, line.cut_after.as_mut()) {
                match *left > length {
                    true => *left -= length,
                    false => last = line.cut_after.take(),
                }
            }
            false
        });
        last
    }

    /// Cuts the line, and does not return: this connection is reset with all the others.
    async fn cut<T>(&self) -> T {
        let next = self.counters.connections.load(Ordering::Relaxed);
        self.cutter.send_modify(|line| line.cut(next));
        pending().await
    }

    /// Cuts the line, and does not return, if these bytes are what a trap waits for.
    async fn pass_trap(&self, whose: From, bytes: &[u8]) {
        let trap = self.line.borrow().trap;
        if trap.is_some_and(|trap| trap.springs(&self.said, whose, bytes)) {
            self.cut().await
        }
    }

    /// Takes as long as the line makes so many bytes take.
    async fn travel(&mut self, bytes: usize) {
        self.sounds().await;
        let delay = self.line.borrow().delay(bytes);
        if let Some(delay) = delay {
            count(&self.counters.delayed);
            sleep(delay).await;
            self.sounds().await;
        }
    }

    /// Waits while the line is silent.
    async fn sounds(&mut self) {
        if self.line.borrow().is_silent(self.number) {
            count(&self.counters.held);
        }
        let number = self.number;
        // An error says that the proxy is gone, and this task is about to be.
        let _ = self.line.wait_for(|line| !line.is_silent(number)).await;
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Closes with RST: the other end learns that something broke, not that all is said.
fn reset(stream: TcpStream) {
    // If it fails the stream is closed already.
    let _ = stream.set_zero_linger();
}
