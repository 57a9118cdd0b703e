use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Lost, Proxy};
use crate::harness::{eventually, patience};

/// How long silence is listened to. A loopback answers within microseconds.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets, and a proxy before it.
struct Echo {
    proxy: Proxy,
    _serving: JoinSet<()>,
}

impl Echo {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let upstream = listener.local_addr().expect("it is bound");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    copy(&mut from, &mut to).await.ok();
                    to.shutdown().await.ok();
                });
            }
        });
        let proxy = Proxy::open(upstream).await.expect("a port is free");
        Self {
            proxy,
            _serving: serving,
        }
    }

    async fn call(&self) -> TcpStream {
        call(self.proxy.address()).await.expect("it accepts")
    }

    async fn until_held(&self, chunks: u64) {
        eventually("the black hole to bite", async || {
            match self.proxy.counts().held {
                held if held >= chunks => Ok(()),
                held => Err(held),
            }
        })
        .await;
    }
}

async fn call(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

async fn say(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).await.expect("it is open");
}

async fn hear(stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut word = vec![0; length];
    let heard = timeout(patience(), stream.read_exact(&mut word)).await;
    heard.expect("an answer or an error")?;
    Ok(word)
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_unchanged_and_so_does_the_end() {
    let echo = Echo::open().await;
    let mut line = echo.call().await;
    let long: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = line.split();
    let sent = async {
        to.write_all(&long).await?;
        to.shutdown().await
    };
    let mut heard = Vec::new();
    let (sent, read) = tokio::join!(sent, from.read_to_end(&mut heard));
    sent.and(read.map(|_| ())).expect("nothing broke");
    assert!(heard == long, "{} bytes came back", heard.len());
    let counts = echo.proxy.counts();
    assert_eq!((counts.connections, counts.broken, counts.held), (1, 0, 0));
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_refuses_until_it_is_healed() {
    let echo = Echo::open().await;
    let mut open = echo.call().await;
    say(&mut open, b"tea").await;
    assert_eq!(hear(&mut open, 3).await.expect("it passes"), b"tea");

    echo.proxy.cut();
    let broken = hear(&mut open, 1).await.expect_err("it was reset");
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    // Accepted by the kernel, reset by the proxy.
    if let Ok(mut refused) = call(echo.proxy.address()).await {
        hear(&mut refused, 1).await.expect_err("it is refused");
    }
    assert_eq!(echo.proxy.counts().broken, 2);

    echo.proxy.heal();
    let mut new = echo.call().await;
    say(&mut new, b"tea").await;
    assert_eq!(hear(&mut new, 3).await.expect("it passes"), b"tea");
}

#[tokio::test]
async fn a_black_hole_holds_what_is_sent_and_lets_it_go_in_order() {
    let echo = Echo::open().await;
    let mut old = echo.call().await;
    say(&mut old, b"a").await;
    assert_eq!(hear(&mut old, 1).await.expect("it passes"), b"a");

    echo.proxy.black_hole();
    let mut new = echo.call().await;
    for word in [b"b", b"c"] {
        say(&mut old, word).await;
        say(&mut new, word).await;
    }
    echo.until_held(2).await;
    assert!(is_silent(&mut old).await && is_silent(&mut new).await);

    echo.proxy.heal();
    assert_eq!(hear(&mut old, 2).await.expect("it goes on"), b"bc");
    assert_eq!(hear(&mut new, 2).await.expect("it goes on"), b"bc");
}

#[tokio::test]
async fn a_sender_into_a_black_hole_is_held_up_and_not_buffered_for() {
    // More than the kernels' buffers on the way hold.
    const MUCH: usize = 64 * 1024 * 1024;
    let echo = Echo::open().await;
    let mut line = echo.call().await;
    say(&mut line, b"a").await;
    assert_eq!(hear(&mut line, 1).await.expect("it passes"), b"a");
    echo.proxy.black_hole();
    let (mut sent, chunk) = (0, vec![0; 64 * 1024]);
    while let Ok(written) = timeout(SILENCE, line.write(&chunk)).await {
        sent += written.expect("it is open");
        assert!(sent < MUCH, "{sent} bytes went somewhere");
    }
}

#[tokio::test]
async fn stranded_connections_stay_silent_while_new_ones_pass() {
    let echo = Echo::open().await;
    let mut old = echo.call().await;
    say(&mut old, b"a").await;
    assert_eq!(hear(&mut old, 1).await.expect("it passes"), b"a");

    echo.proxy.strand();
    say(&mut old, b"b").await;
    let mut new = echo.call().await;
    say(&mut new, b"c").await;
    assert_eq!(hear(&mut new, 1).await.expect("it passes"), b"c");
    echo.until_held(1).await;
    assert!(is_silent(&mut old).await);
}

#[tokio::test]
async fn a_delay_takes_as_long_as_it_says_in_each_direction() {
    const DELAY: Duration = Duration::from_millis(50);
    let echo = Echo::open().await;
    let mut line = echo.call().await;
    echo.proxy.delay(DELAY);
    let begun = Instant::now();
    say(&mut line, b"a").await;
    assert_eq!(hear(&mut line, 1).await.expect("it passes"), b"a");
    assert!(begun.elapsed() >= 2 * DELAY, "{:?}", begun.elapsed());
    assert_eq!(echo.proxy.counts().delayed, 2);
}

#[tokio::test]
async fn a_throttle_lets_so_many_bytes_a_second_pass() {
    let echo = Echo::open().await;
    let mut line = echo.call().await;
    echo.proxy.throttle(1_000);
    let begun = Instant::now();
    say(&mut line, &[0; 100]).await;
    hear(&mut line, 100).await.expect("it passes");
    // A tenth of a second each way.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(echo.proxy.counts().delayed >= 2);
}

#[tokio::test]
async fn a_reset_breaks_what_is_open_and_nothing_that_comes() {
    let echo = Echo::open().await;
    let mut open = echo.call().await;
    say(&mut open, b"a").await;
    assert_eq!(hear(&mut open, 1).await.expect("it passes"), b"a");

    echo.proxy.reset();
    let broken = hear(&mut open, 1).await.expect_err("it was reset");
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    let mut new = echo.call().await;
    say(&mut new, b"b").await;
    assert_eq!(hear(&mut new, 1).await.expect("it passes"), b"b");
    assert_eq!(echo.proxy.counts().broken, 1);
}

#[tokio::test]
async fn of_a_half_closed_line_one_direction_goes_on() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = Proxy::open(upstream.local_addr().expect("it is bound")).await;
    let proxy = proxy.expect("a port is free");
    let mut client = call(proxy.address()).await.expect("it accepts");
    let (mut server, _) = upstream.accept().await.expect("it is connected");
    say(&mut client, b"a").await;
    assert_eq!(hear(&mut server, 1).await.expect("it passes"), b"a");

    proxy.half_close();
    let end = hear(&mut client, 1)
        .await
        .expect_err("the server is silent");
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    say(&mut client, b"b").await;
    assert_eq!(hear(&mut server, 1).await.expect("it passes"), b"b");
    assert_eq!(proxy.counts().half_closed, 1);
}

#[tokio::test]
async fn a_cut_after_some_bytes_comes_in_the_middle_of_a_word() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = Proxy::open(upstream.local_addr().expect("it is bound")).await;
    let proxy = proxy.expect("a port is free");
    let mut client = call(proxy.address()).await.expect("it accepts");
    let (mut server, _) = upstream.accept().await.expect("it is connected");

    proxy.cut_after(5);
    say(&mut client, b"tea").await;
    assert_eq!(hear(&mut server, 3).await.expect("it passes"), b"tea");
    say(&mut client, b"coffee").await;
    assert_eq!(hear(&mut server, 2).await.expect("it passes"), b"co");
    for end in [&mut client, &mut server] {
        let cut = hear(end, 1).await.expect_err("it was cut");
        assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(proxy.counts().broken, 1);
}

#[tokio::test]
async fn a_cut_at_a_word_loses_the_word_or_its_answer_and_nothing_before() {
    for lost in [Lost::Word, Lost::Answer] {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy::open(upstream.local_addr().expect("it is bound")).await;
        let proxy = proxy.expect("a port is free");
        let mut client = call(proxy.address()).await.expect("it accepts");
        let (mut server, _) = upstream.accept().await.expect("it is connected");
        proxy.cut_at(&["tea", "pay"], lost);
        // In another order they are no trap.
        for word in [b"pay", b"tea"] {
            say(&mut client, word).await;
            assert_eq!(hear(&mut server, 3).await.expect("it passes"), word);
            say(&mut server, b"yes").await;
            assert_eq!(hear(&mut client, 3).await.expect("it passes"), b"yes");
        }
        say(&mut client, b"pay").await;
        if lost == Lost::Answer {
            assert_eq!(hear(&mut server, 3).await.expect("it passes"), b"pay");
            say(&mut server, b"yes").await;
        }
        for end in [&mut client, &mut server] {
            let cut = hear(end, 1).await.expect_err("it was cut");
            assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
        }
        assert_eq!(proxy.counts().broken, 1);
        proxy.heal();
        call(proxy.address()).await.expect("it accepts again");
    }
}

#[tokio::test]
async fn everything_ends_with_the_proxy() {
    let echo = Echo::open().await;
    let (mut line, address) = (echo.call().await, echo.proxy.address());
    say(&mut line, b"a").await;
    assert_eq!(hear(&mut line, 1).await.expect("it passes"), b"a");
    drop(echo.proxy);
    // Closed or reset, but not silent.
    assert!(hear(&mut line, 1).await.is_err());
    eventually("nobody to listen", async || match call(address).await {
        Err(_) => Ok(()),
        Ok(_) => Err("somebody listens"),
    })
    .await;
}
