//! Response streams that end when the process stops.
//!
//! tonic's shutdown waits for open streams, and a watch has no end of its own: without
//! this, one watcher would hold the stop until it is cut off.

use crate::status;
use futures::{Stream, StreamExt as _, stream};
use lifecycle::Stop;
use tonic::Status;

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
