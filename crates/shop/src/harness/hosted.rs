//! A service of a shop: a task of this process, or a guarded child that can be killed.
//!
//! Stopped and started again, it is the same service: same address, same database, same group.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Parser as _;
use lifecycle::Stop;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::{AbortHandle, JoinSet},
};
use tonic::transport::Channel;

use crate::{daemon::Daemon, ports, process::Identity, services::Service};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service of a shop.
pub struct Hosted {
    service: Service,
    address: SocketAddr,
    /// By the names of their environment variables.
    settings: Vec<(&'static str, String)>,
    /// The folder of its log, if it is a child.
    logs: Option<PathBuf>,
    /// The folder of its binary, if it is another version.
    version: std::sync::Mutex<Option<PathBuf>>,
    running: Mutex<Option<Running>>,
}

enum Running {
    Task {
        stop: Stop,
        task: JoinSet<Result<()>>,
        handle: AbortHandle,
    },
    Child(Box<Daemon>),
}

impl Hosted {
    pub(super) fn new(
        service: Service,
        settings: Vec<(&'static str, String)>,
        logs: Option<PathBuf>,
    ) -> Result<Self> {
        let address = ports::loopback(ports::free()?);
        Ok(Self {
            service,
            address,
            settings,
            logs,
            version: std::sync::Mutex::default(),
            running: Mutex::new(None),
        })
    }

    /// From its next start on it is the binary in this folder; none is that of the workspace. Only
    /// of a child.
    pub fn becomes(&self, version: Option<&Path>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version.map(Path::to_owned);
    }

    /// Another instance of it, which is to be started: own port and log, the same database, group
    /// and topics.
    pub fn second(&self) -> Result<Self> {
        Self::new(self.service, self.settings.clone(), self.logs.clone())
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as a client takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection to it, made when it is first used.
    pub fn channel(&self) -> Result<Channel> {
        rpc::client::channel(&self.url())
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Result<()> {
        self.launch().await?;
        self.ready().await
    }

    /// Starts it and does not wait.
    pub async fn launch(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        ensure!(running.is_none(), "{} runs already", self.service.name());
        *running = Some(match &self.logs {
            None => self.spawn().await?,
            Some(logs) => Running::Child(Box::new(self.child(logs.clone())?)),
        });
        Ok(())
    }

    async fn spawn(&self) -> Result<Running> {
        let listener = TcpListener::bind(self.address).await?;
        let (stop, mut task) = (Stop::new(), JoinSet::new());
        let (service, stopped, args) = (self.service, stop.clone(), self.args());
        let handle = task.spawn(async move {
            match service {
                Service::Payments => {
                    payments::run(payments::Config::try_parse_from(args)?, listener, stopped).await
                }
                Service::Barista => {
                    barista::run(barista::Config::try_parse_from(args)?, listener, stopped).await
                }
                Service::Reception => {
                    let config = reception::config::Config::try_parse_from(args)?;
                    reception::run(config, listener, stopped).await
                }
            }
        });
        Ok(Running::Task { stop, task, handle })
    }

    fn child(&self, logs: PathBuf) -> Result<Daemon> {
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!(
            "{}-{}.log",
            self.service.name(),
            self.address.port()
        ));
        let settings = self
            .settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let version = self.version.lock();
        let version = version.unwrap_or_else(PoisonError::into_inner).clone();
        self.service
            .start(self.address, &log, settings, version.as_deref())
    }

    /// The settings as a command line: `DATABASE_URL` is `--database-url`.
    fn args(&self) -> Vec<String> {
        let settings = self.settings.iter().flat_map(|(name, value)| {
            [
                format!("--{}", name.to_lowercase().replace('_', "-")),
                value.clone(),
            ]
        });
        [self.service.name().to_owned()]
            .into_iter()
            .chain(settings)
            .collect()
    }

    /// Waits until it is ready. An error says why it ended, if it did.
    pub async fn ready(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        match running.as_mut().context("it was not started")? {
            Running::Child(daemon) => daemon.ready().await,
            Running::Task { task, handle, .. } => {
                let ready = self
                    .service
                    .probe(self.address)
                    .wait(|| !handle.is_finished(), PATIENCE)
                    .await;
                if ready.is_err() && handle.is_finished() {
                    joined(task).await?;
                }
                ready.with_context(|| format!("{} is not ready", self.service.name()))
            }
        }
    }

    /// Asks it to end, and waits for that. An error if it did not end well.
    pub async fn stop(&self) -> Result<()> {
        match self.running.lock().await.take() {
            None => Ok(()),
            Some(Running::Task { stop, mut task, .. }) => {
                stop.cancel();
                joined(&mut task)
                    .await
                    .with_context(|| format!("{} ended badly", self.service.name()))
            }
            Some(Running::Child(daemon)) => match daemon.terminate().await? {
                0 => Ok(()),
                code => bail!(
                    "{} ended with exit code {code}; {}",
                    self.service.name(),
                    crate::process::log::tail(daemon.log()),
                ),
            },
        }
    }

    /// SIGKILL; returns when it is gone.
    pub async fn kill9(&self) -> Result<()> {
        match self.running.lock().await.take() {
            Some(Running::Child(daemon)) => daemon.kill9().await,
            _ => Err(self.no_child()),
        }
    }

    /// SIGSTOP: it keeps its connections and answers nobody.
    pub async fn pause(&self) -> Result<()> {
        match self.running.lock().await.as_ref() {
            Some(Running::Child(daemon)) => daemon.pause().await,
            _ => Err(self.no_child()),
        }
    }

    /// SIGCONT: it goes on, and thinks that no time has passed.
    pub async fn resume(&self) -> Result<()> {
        match self.running.lock().await.as_ref() {
            Some(Running::Child(daemon)) => daemon.resume().await,
            _ => Err(self.no_child()),
        }
    }

    /// Who it is now, if it is a child.
    pub async fn identity(&self) -> Result<Identity> {
        match self.running.lock().await.as_ref() {
            Some(Running::Child(daemon)) => Ok(daemon.identity().await),
            _ => Err(self.no_child()),
        }
    }

    fn no_child(&self) -> anyhow::Error {
        let name = self.service.name();
        anyhow!("{name} is no child process that runs: open the shop with `processes`")
    }
}

async fn joined(task: &mut JoinSet<Result<()>>) -> Result<()> {
    match task.join_next().await {
        Some(ended) => ended.context("it panicked")?,
        None => Ok(()),
    }
}
