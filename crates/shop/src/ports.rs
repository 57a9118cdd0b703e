//! Ports: free ones for servers, and a clear word about a fixed one that is taken.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;

/// Below the range from which kernels take the ports of outgoing connections. Above it, a client
/// that retries against a dead server sooner or later gets the server's own port, connects to
/// itself, and the server cannot come back.
const FREE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: u16 = 200;

/// How many ports this process has asked for. It begins at a random one and goes on from there, so
/// that it never names a port twice before somebody could bind it.
static ASKED: AtomicU16 = AtomicU16::new(0);
static BEGIN: LazyLock<u16> = LazyLock::new(|| rand::rng().random_range(0..FREE.end - FREE.start));

/// This port on this machine alone.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that nobody listens on, and that this process has not named before. It is not reserved: a
/// stranger may still be faster.
pub fn free() -> Result<u16> {
    let count = FREE.end - FREE.start;
    let next = || FREE.start + (*BEGIN + ASKED.fetch_add(1, Ordering::Relaxed) % count) % count;
    (0..TRIES)
        .map(|_| next())
        .find(|port| is_free(*port))
        .context("no free port between 20000 and 32000")
}

/// True if nobody listens on it.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

/// An error that names the holder and the way out, if the port is taken.
pub fn ensure_free(port: u16, name: &str) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    bail!(
        "port {port}, which {name} wants, is taken by {}.\n\
         End that program, or choose another port: `shop up --{name}-port {}`.",
        holders(port),
        free()?,
    )
}

fn holders(port: u16) -> String {
    let holders = listeners::get_processes_by_port(port).unwrap_or_default();
    let mut names: Vec<String> = holders
        .iter()
        .map(|holder| format!("pid {} ({}, {})", holder.pid, holder.name, holder.path))
        .collect();
    names.sort();
    match names.is_empty() {
        // Without root the sockets of other users have no visible owner.
        true => "a program of another user, or by an outgoing connection".to_owned(),
        false => names.join(" and "),
    }
}
