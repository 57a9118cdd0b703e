//! SIGTERM and SIGINT ask the process to stop; a second one does not wait for it.

use crate::Stop;
use std::{io, process};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};

/// What a shell reports for a process ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// A stop that the first SIGTERM or SIGINT cancels. The second exits at once with
/// code 130: whoever sends it has lost patience with the drain.
pub fn stop_on_signals() -> io::Result<Stop> {
    let stop = Stop::new();
    let signals = Signals::listen()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "not one of `Tasks`: the second signal has to work when those hang"
    )]
    Handle::current().spawn(signals.watch(stop.clone()));
    Ok(stop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on, neither signal ends the process by itself.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn watch(mut self, stop: Stop) {
        let name = self.next().await;
        tracing::info!(signal = name, "stopping");
        stop.cancel();
        let name = self.next().await;
        tracing::warn!(signal = name, "exiting without waiting for the drain");
        process::exit(INTERRUPTED);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
