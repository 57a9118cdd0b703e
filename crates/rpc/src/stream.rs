//! Response streams that end when the process stops.
//!
//! tonic's shutdown waits for open streams, and a watch has no end of its own: without
//! this, one watcher would hold the stop until it is cut off.

use crate::status;
use anyhow::ensure;
use futures::{Stream, StreamExt as _, stream};
use lifecycle::Stop;
use std::{future::Future, time::Duration};
use tonic::Status;

/// How long a message waits, unless configured otherwise.
pub(crate) const WATCH_PATIENCE: &str = "30s";

/// How those are treated who watch.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct Options {
    /// A watcher hears something at least this often: less than what proxies on the way let a silent
    /// stream live
    #[arg(long, env, default_value = "15s", value_parser = some_time)]
    pub watch_heartbeat: Duration,
    /// How long a message may wait for a watcher who does not read; then the stream is closed, and
    /// the watcher has to resume
    #[arg(long, env, default_value = WATCH_PATIENCE, value_parser = some_time)]
    pub watch_patience: Duration,
}

/// What all streams of a process have in common.
#[derive(Clone, Debug)]
pub struct Streams {
    /// A watcher hears something at least this often.
    pub heartbeat: Duration,
    stop: Stop,
}

impl Streams {
    /// Streams that end when the process stops.
    pub fn new(options: &Options, stop: &Stop) -> Self {
        Self {
            heartbeat: options.watch_heartbeat,
            stop: stop.clone(),
        }
    }

    /// What a stream begins with, unless the stop comes first: its caller goes elsewhere instead of
    /// being cut off.
    ///
    /// # Errors
    /// Its own, or `UNAVAILABLE DRAINING`.
    pub async fn begin<T>(
        &self,
        beginning: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let begun = self.stop.run_until_cancelled(beginning).await;
        begun.unwrap_or_else(|| Err(status::draining()))
    }

    /// See [`until_stop`].
    pub fn until_stop<T, S>(&self, stream: S) -> impl Stream<Item = Result<T, Status>> + use<T, S>
    where
        S: Stream<Item = Result<T, Status>>,
    {
        until_stop(stream, self.stop.clone())
    }
}

/// A time that a timer can wait for: none would be a loop that never rests.
pub(crate) fn some_time(text: &str) -> anyhow::Result<Duration> {
    let time = humantime::parse_duration(text)?;
    ensure!(time >= LEAST, "must be at least {LEAST:?}");
    Ok(time)
}

const LEAST: Duration = Duration::from_millis(10);

/// The stream until `stop`; then it ends with `UNAVAILABLE DRAINING`, which tells the
/// watcher to resume at another instance.
pub fn until_stop<T>(
    stream: impl Stream<Item = Result<T, Status>>,
    stop: Stop,
) -> impl Stream<Item = Result<T, Status>> {
    let stopped = stop.clone();
    let goodbye = stream::once(async move { stopped.is_cancelled() })
        .filter_map(async |stopped| stopped.then(|| Err(status::draining())));
    stream.take_until(stop.cancelled_owned()).chain(goodbye)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn what_begins_at_the_stop_is_told_to_go_elsewhere() {
        let stop = Stop::new();
        let options = Options {
            watch_heartbeat: LEAST,
            watch_patience: LEAST,
        };
        let streams = Streams::new(&options, &stop);
        let mut begun = Box::pin(streams.begin::<()>(std::future::pending()));
        assert!((&mut begun).now_or_never().is_none());
        stop.cancel();
        let refused = begun.now_or_never().expect("it is over");
        let refused = refused.expect_err("it did not begin");
        assert_eq!(refused.message(), status::draining().message());
    }
}
