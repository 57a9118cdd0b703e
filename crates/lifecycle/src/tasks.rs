//! A supervised set: its tasks live together and end together.
//!
//! A process that lost its relay, but still answers calls, looks healthy and is not.
//! So the first task that fails, panics, or just ends stops all the others, and the
//! process with them; a supervisor outside starts a whole one.

use crate::Stop;
use anyhow::{Context as _, anyhow, bail};
use std::{collections::HashMap, future::Future, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time,
};

/// Runs a task, and drops `guard` when it ends, however it ends: what waits for the last of
/// several tasks holds a guard in each.
pub async fn holding<T>(guard: impl Send, task: impl Future<Output = T>) -> T {
    let _held = guard;
    task.await
}

/// The tasks of a process. Dropping it aborts them.
pub struct Tasks {
    stop: Stop,
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// An empty set. A failure in it cancels `stop`.
    pub fn new(stop: Stop) -> Self {
        Self {
            stop,
            running: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Runs a task that is expected to end after the stop, and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let task = self.running.spawn(task);
        self.names.insert(task.id(), name);
    }

    /// Waits for all tasks, and returns the first failure, with its task's name.
    ///
    /// After the stop they get `grace` to end by themselves; then they are aborted, and
    /// that is a failure too.
    pub async fn join(mut self, grace: Duration) -> anyhow::Result<()> {
        let ran = self.until_stop().await;
        self.stop.cancel();
        let drained = time::timeout(grace, self.drain()).await;
        let drained = drained.unwrap_or_else(|_| Err(self.overdue(grace)));
        match (ran, drained) {
            (Err(first), Err(second)) => {
                tracing::error!(error = format!("{second:#}"), "failed while stopping");
                Err(first)
            }
            (ran, drained) => ran.and(drained),
        }
    }

    async fn until_stop(&mut self) -> anyhow::Result<()> {
        loop {
            let ended = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                ended = self.running.join_next_with_id() => ended,
            };
            let Some(ended) = ended else { return Ok(()) };
            let name = self.result(ended)?;
            // It may have ended because of a stop that this select has not seen yet.
            if !self.stop.is_cancelled() {
                bail!("{name} ended although nobody asked it to");
            }
        }
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.running.join_next_with_id().await {
            match self.result(ended) {
                Err(error) if first.is_ok() => first = Err(error),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "failed while stopping")
                }
                Ok(_) => {}
            }
        }
        first
    }

    /// The name of a task that ended well, or why it did not.
    fn result(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), JoinError>,
    ) -> anyhow::Result<&'static str> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id).unwrap_or("a task");
        match ended {
            Ok((_, Ok(()))) => Ok(name),
            Ok((_, Err(error))) => Err(error.context(format!("{name} failed"))),
            Err(error) => Err(error).with_context(|| format!("{name} panicked")),
        }
    }

    /// Aborts what is left, and does not wait for it: a blocked thread never yields.
    fn overdue(&mut self, grace: Duration) -> anyhow::Error {
        self.running.abort_all();
        let mut names: Vec<_> = self.names.drain().map(|(_, name)| name).collect();
        names.sort_unstable();
        anyhow!("{} did not stop within {grace:?}", names.join(", "))
    }
}

#[cfg(test)]
mod tests;
