//! A Postgres and a Kafka for tests: real servers, gone when the test process is.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
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
    fault::Proxy,
    kafka::Kafka,
    maven::{self, Packages},
    ports,
    postgres::{self, Postgres},
    probe::Probe,
    progress::Progress,
};

/// Which servers the services reach through a [`Proxy`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Proxied {
    /// Kafka: every broker's address that it tells is the proxy's.
    pub kafka: bool,
    /// Postgres.
    pub postgres: bool,
}

/// Both servers, their data in a temporary folder.
#[derive(Debug)]
pub struct Servers {
    /// Kafka: `kill9`, `restart`, `pause`, `resume`, `terminate`.
    pub kafka: Daemon,
    /// Postgres, with the same calls.
    pub postgres: Daemon,
    kafka_proxy: Option<Proxy>,
    postgres_proxy: Option<Proxy>,
    broker: Kafka,
    packages: Packages,
    brokers: Brokers,
    admin_url: String,
    _data: TempDir,
    /// Deletes the temporary folder if this process is killed.
    _janitor: Child,
}

/// How to reach Kafka: two addresses if there is a proxy.
#[derive(Debug)]
struct Brokers {
    /// For those whom a fault is to hit.
    of_services: String,
    /// For those who look on.
    direct: String,
}

impl Servers {
    /// Starts both and waits until they are ready. Their logs go to `logs`.
    pub async fn open_ephemeral(logs: &Path, proxied: Proxied) -> Result<Self> {
        let (shop, dir) = (binaries::shop()?, ShopDir::find(&dir::Options::default())?);
        let packages = maven::resolve(&Progress::Silent).await?;
        let unpacked = postgres::unpack(&packages, &dir).await?;
        fs::create_dir_all(logs)?;
        let data = temporary_folder()?;
        let janitor = janitor(&shop, data.path())?;
        let ports = [ports::free()?, ports::free()?];
        let [postgres_proxy, kafka_proxy] = [
            open_proxy(proxied.postgres, ports[0]).await?,
            open_proxy(proxied.kafka, ports[1]).await?,
        ];
        let advertised = kafka_proxy.as_ref().map(Proxy::address);
        let (postgres, kafka) = tokio::try_join!(
            open_postgres(
                unpacked,
                data.path().join("postgres"),
                ports[0],
                logs,
                &shop
            ),
            open_kafka(
                &packages,
                data.path().join("kafka"),
                ports[1],
                advertised,
                logs,
                &shop
            ),
        )?;
        let ((postgres, admin_url), (kafka, broker, brokers)) = (postgres, kafka);
        Ok(Self {
            broker,
            packages,
            kafka,
            postgres,
            kafka_proxy,
            postgres_proxy,
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

    /// `host:port` of Kafka as services are told it: the proxy's, if there is one.
    pub fn kafka_brokers(&self) -> &str {
        &self.brokers.of_services
    }

    /// `host:port` of Kafka itself, for those who look on while a fault lasts.
    pub fn kafka_direct(&self) -> &str {
        &self.brokers.direct
    }

    /// The line between the services and Kafka.
    ///
    /// # Panics
    /// There is no proxy on it.
    pub fn kafka_proxy(&self) -> &Proxy {
        let proxy = self.kafka_proxy.as_ref();
        proxy.expect("the shop was opened with `kafka_proxy`")
    }

    /// The line between the services and Postgres.
    ///
    /// # Panics
    /// There is no proxy on it.
    pub fn postgres_proxy(&self) -> &Proxy {
        let proxy = self.postgres_proxy.as_ref();
        proxy.expect("the shop was opened with `postgres_proxy`")
    }

    /// Where services find Postgres: at the proxy, if there is one.
    pub(crate) fn postgres_port(&self) -> Option<u16> {
        let proxy = self.postgres_proxy.as_ref();
        proxy.map(|proxy| proxy.address().port())
    }

    /// Ends Kafka and starts one with nothing in it at the same address: topics, messages, groups
    /// and offsets are gone.
    pub async fn wipe_kafka(&self) -> Result<()> {
        self.kafka.kill9().await?;
        fs::remove_dir_all(self.broker.data())?;
        self.broker.prepare(&self.packages).await?;
        self.kafka.restart().await
    }

    /// Ends both and deletes their data.
    pub async fn close(self) -> Result<()> {
        self.end().await
    }

    /// Ends both. Their data go when this is dropped.
    pub async fn end(&self) -> Result<()> {
        let (kafka, postgres) = tokio::join!(self.kafka.kill9(), self.postgres.terminate());
        kafka.and(postgres.map(|_| ()))
    }
}

async fn open_proxy(wanted: bool, upstream: u16) -> Result<Option<Proxy>> {
    Ok(match wanted {
        true => Some(Proxy::open(ports::loopback(upstream)).await?),
        false => None,
    })
}

async fn open_postgres(
    binaries: PathBuf,
    home: PathBuf,
    port: u16,
    logs: &Path,
    shop: &Path,
) -> Result<(Daemon, String)> {
    fs::create_dir(&home)?;
    let postgres = Postgres::prepare(binaries, home, port, logs.join("postgres.log")).await?;
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
    port: u16,
    advertised: Option<SocketAddr>,
    logs: &Path,
    shop: &Path,
) -> Result<(Daemon, Kafka, Brokers)> {
    let direct_port = advertised.map(|_| ports::free()).transpose()?;
    let kafka = Kafka {
        home,
        port,
        advertised_port: advertised.map(|address| address.port()),
        direct_port,
        log: logs.join("kafka.log"),
    };
    let program = kafka.prepare(packages).await?;
    let brokers = Brokers {
        of_services: kafka.brokers(),
        direct: ports::loopback(direct_port.unwrap_or(port)).to_string(),
    };
    let probe = Probe::Kafka(brokers.direct.clone());
    let daemon = Daemon::start(program, probe, shop.to_owned())?;
    daemon.ready().await?;
    Ok((daemon, kafka, brokers))
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
