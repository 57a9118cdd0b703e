//! `shop telemetry`: the receiver of an open shop, a process of its own.
//!
//! Guarantee: it can be slow, full or dead without anybody noticing but who looks for a trace: the
//! services drop spans that they cannot send.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, task, time};

use super::{
    GOODBYE,
    files::{Files, say},
    serve,
};

/// Where it listens, and where spans go.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Address and port.
    #[arg(long)]
    listen: SocketAddr,
    /// The folder of the spans.
    #[arg(long)]
    spans: PathBuf,
}

/// Receives until it is asked to end.
pub async fn run(options: Options) -> Result<()> {
    let stop = lifecycle::stop_on_signals()?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let (files, writer) = Files::open(&options.spans)?;
    let writing = task::spawn_blocking(move || writer.run());
    say(&format!("listening on {}", options.listen));
    serve(listener, Arc::new(files), stop).await?;
    // What is in its queue is written first. A client that keeps its connection keeps the queue
    // open, too: that ends with the process.
    match time::timeout(GOODBYE, writing).await {
        Ok(written) => written.context("the writer of spans panicked"),
        Err(_) => {
            say("not every client has closed its connection");
            Ok(())
        }
    }
}
