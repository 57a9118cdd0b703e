//! A Postgres and a Kafka for tests: real servers, gone when the test process is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{
    binaries,
    daemon::Daemon,
    dir::{self, ShopDir},
    kafka::Kafka,
    maven::{self, Packages},
    ports,
    postgres::{self, Postgres},
    probe::Probe,
    progress::Progress,
};

/// Both servers, their data in a temporary folder.
#[derive(Debug)]
pub struct Servers {
    /// Kafka: `kill9`, `restart` (then `ready`), `pause`, `resume`, `terminate`.
    pub kafka: Daemon,
    /// Postgres, with the same calls.
    pub postgres: Daemon,
    broker: Kafka,
    packages: Packages,
    brokers: String,
    admin_url: String,
    _data: TempDir,
    /// Deletes the temporary folder if this process is killed.
    _janitor: Child,
}

impl Servers {
    /// Starts both and waits until they are ready. Their logs go to `logs`.
    pub async fn open_ephemeral(logs: &Path) -> Result<Self> {
        let (shop, dir) = (binaries::shop()?, ShopDir::find(&dir::Options::default())?);
        let packages = maven::resolve(&Progress::Silent).await?;
        let unpacked = postgres::unpack(&packages, &dir).await?;
        fs::create_dir_all(logs)?;
        let data = temporary_folder()?;
        let janitor = janitor(&shop, data.path())?;
        let (postgres, kafka) = tokio::try_join!(
            open_postgres(unpacked, data.path().join("postgres"), logs, &shop),
            open_kafka(&packages, data.path().join("kafka"), logs, &shop),
        )?;
        let ((postgres, admin_url), (kafka, broker)) = (postgres, kafka);
        let brokers = broker.brokers();
        Ok(Self {
            broker,
            packages,
            kafka,
            postgres,
            brokers,
            admin_url,
            _data: data,
            _janitor: janitor,
        })
    }

    /// How a role that may create databases and roles connects to Postgres.
    pub fn postgres_admin_url(&self) -> &str {
        &self.admin_url
    }

    /// `host:port` of Kafka.
    pub fn kafka_brokers(&self) -> &str {
        &self.brokers
    }

    /// Ends Kafka and starts one with nothing in it at the same address: topics, messages, groups
    /// and offsets are gone.
    pub async fn wipe_kafka(&self) -> Result<()> {
        self.kafka.kill9().await?;
        fs::remove_dir_all(self.broker.data())?;
        self.broker.prepare(&self.packages).await?;
        self.kafka.restart().await?;
        self.kafka.ready().await
    }

    /// Ends both and deletes their data.
    pub async fn close(self) -> Result<()> {
        let (kafka, postgres) = tokio::join!(self.kafka.kill9(), self.postgres.terminate());
        kafka.and(postgres.map(|_| ()))
    }
}

async fn open_postgres(
    binaries: PathBuf,
    home: PathBuf,
    logs: &Path,
    shop: &Path,
) -> Result<(Daemon, String)> {
    fs::create_dir(&home)?;
    let postgres =
        Postgres::prepare(binaries, home, ports::free()?, logs.join("postgres.log")).await?;
    let url = postgres.admin_url();
    let daemon = Daemon::start(
        postgres.program(),
        Probe::Postgres(url.clone()),
        shop.to_owned(),
    )?;
    daemon.ready().await?;
    Ok((daemon, url))
}

async fn open_kafka(
    packages: &Packages,
    home: PathBuf,
    logs: &Path,
    shop: &Path,
) -> Result<(Daemon, Kafka)> {
    let log = logs.join("kafka.log");
    let kafka = Kafka {
        home,
        port: ports::free()?,
        advertised_port: None,
        log,
    };
    let program = kafka.prepare(packages).await?;
    let daemon = Daemon::start(program, Probe::Kafka(kafka.brokers()), shop.to_owned())?;
    daemon.ready().await?;
    Ok((daemon, kafka))
}

/// On a disk, unlike `/tmp` on many systems: fsync is part of what is tested.
fn temporary_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("coffeeshop-test-")
        .tempdir_in("/var/tmp")?;
    // The unprivileged user that runs Postgres for root has to pass through.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    Ok(folder)
}

fn janitor(shop: &Path, folder: &Path) -> Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(shop);
    command
        .arg("guard")
        .arg("--remove")
        .arg(folder)
        .process_group(0);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    child.context("cannot start a guard for the temporary folder")
}
