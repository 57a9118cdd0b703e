//! A Postgres and a Kafka for tests: real servers, gone when the test process is.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use tempfile::TempDir;

use crate::{
    binaries,
    daemon::Daemon,
    dir::{self, ShopDir},
    disk::SmallDisk,
    fault::Proxy,
    kafka::{Kafka, Member},
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

/// How both servers are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Kafka as a cluster of so many nodes, which has no proxy; 0 and 1 are the same.
    pub kafka_nodes: usize,
    /// The data of Postgres lie on a disk of so many megabytes. Needs root on Linux.
    pub postgres_disk: Option<u32>,
}

/// Both servers, their data in a temporary folder.
#[derive(Debug)]
pub struct Servers {
    /// Kafka: `kill9`, `restart`, `pause`, `resume`, `terminate`.
    pub kafka: Daemon,
    /// The other nodes, if it is a cluster.
    pub more_kafka: Vec<Daemon>,
    /// Postgres, with the same calls.
    pub postgres: Daemon,
    kafka_proxy: Option<Proxy>,
    postgres_proxy: Option<Proxy>,
    broker: Kafka,
    packages: Packages,
    brokers: Brokers,
    admin_url: String,
    /// Before the folder that it is in: they go in this sequence.
    disk: Option<SmallDisk>,
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
    pub async fn open_ephemeral(logs: &Path, proxied: Proxied, layout: Layout) -> Result<Self> {
        let (shop, dir) = (binaries::shop()?, ShopDir::find(&dir::Options::default())?);
        let packages = maven::resolve(&Progress::Silent).await?;
        let unpacked = postgres::unpack(&packages, &dir).await?;
        fs::create_dir_all(logs)?;
        let data = temporary_folder()?;
        let postgres_home = data.path().join("postgres");
        fs::create_dir(&postgres_home)?;
        let disk_home = layout.postgres_disk.map(|_| postgres_home.as_path());
        let janitor = janitor(&shop, data.path(), disk_home)?;
        let megabytes = layout.postgres_disk;
        let disk = megabytes.map(|megabytes| SmallDisk::mount(&postgres_home, megabytes));
        let disk = disk.transpose()?;
        let ports = [ports::free()?, ports::free()?];
        let [postgres_proxy, kafka_proxy] = [
            open_proxy(proxied.postgres, ports[0]).await?,
            open_proxy(proxied.kafka, ports[1]).await?,
        ];
        let advertised = kafka_proxy.as_ref().map(Proxy::address);
        let (postgres, kafka) = tokio::try_join!(
            open_postgres(unpacked, postgres_home, ports[0], logs, &shop),
            async {
                match layout.kafka_nodes {
                    0 | 1 => {
                        let home = data.path().join("kafka");
                        open_kafka(&packages, home, ports[1], advertised, logs, &shop).await
                    }
                    nodes => open_cluster(&packages, data.path(), nodes, logs, &shop).await,
                }
            },
        )?;
        let ((postgres, admin_url), cluster) = (postgres, kafka);
        let Cluster {
            kafka,
            more_kafka,
            broker,
            brokers,
        } = cluster;
        Ok(Self {
            broker,
            packages,
            kafka,
            more_kafka,
            postgres,
            kafka_proxy,
            postgres_proxy,
            brokers,
            admin_url,
            disk,
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

    /// The disk of Postgres.
    ///
    /// # Panics
    /// It is the same as everybody's.
    pub fn postgres_disk(&self) -> &SmallDisk {
        let disk = self.disk.as_ref();
        disk.expect("the shop was opened with `postgres_disk`")
    }

    /// Every node of Kafka.
    pub fn kafka_nodes(&self) -> impl Iterator<Item = &Daemon> {
        std::iter::once(&self.kafka).chain(&self.more_kafka)
    }

    /// Ends both. Their data go when this is dropped.
    pub async fn end(&self) -> Result<()> {
        let kafka = try_join_all(self.kafka_nodes().map(Daemon::kill9));
        let (kafka, postgres) = tokio::join!(kafka, self.postgres.terminate());
        kafka.and(postgres).map(|_| ())
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

/// Kafka as it was opened.
struct Cluster {
    kafka: Daemon,
    more_kafka: Vec<Daemon>,
    broker: Kafka,
    brokers: Brokers,
}

async fn open_kafka(
    packages: &Packages,
    home: PathBuf,
    port: u16,
    advertised: Option<SocketAddr>,
    logs: &Path,
    shop: &Path,
) -> Result<Cluster> {
    let direct_port = advertised.map(|_| ports::free()).transpose()?;
    let broker = Kafka {
        home,
        port,
        advertised_port: advertised.map(|address| address.port()),
        direct_port,
        member: None,
        log: logs.join("kafka.log"),
    };
    let program = broker.prepare(packages).await?;
    let brokers = Brokers {
        of_services: broker.brokers(),
        direct: ports::loopback(direct_port.unwrap_or(port)).to_string(),
    };
    let probe = Probe::Kafka(brokers.direct.clone());
    let kafka = Daemon::start(program, probe, shop.to_owned())?;
    kafka.ready().await?;
    Ok(Cluster {
        kafka,
        more_kafka: Vec::new(),
        broker,
        brokers,
    })
}

/// All nodes at the same time: none is ready before most of them are there.
async fn open_cluster(
    packages: &Packages,
    data: &Path,
    nodes: usize,
    logs: &Path,
    shop: &Path,
) -> Result<Cluster> {
    let nodes: Vec<Kafka> = Member::of_cluster(nodes)?
        .into_iter()
        .map(|member| node(data, member, logs))
        .collect::<Result<_>>()?;
    let programs = try_join_all(nodes.iter().map(|node| node.prepare(packages))).await?;
    let daemons = programs.into_iter().zip(&nodes).map(|(program, node)| {
        let probe = Probe::Kafka(node.brokers());
        Daemon::start(program, probe, shop.to_owned())
    });
    let mut daemons: Vec<Daemon> = daemons.collect::<Result<_>>()?;
    try_join_all(daemons.iter().map(Daemon::ready)).await?;
    let all: Vec<String> = nodes.iter().map(Kafka::brokers).collect();
    let broker = nodes.into_iter().next().context("a cluster has a node")?;
    Ok(Cluster {
        kafka: daemons.remove(0),
        more_kafka: daemons,
        broker,
        brokers: Brokers {
            of_services: all.join(","),
            direct: all.join(","),
        },
    })
}

fn node(data: &Path, member: Member, logs: &Path) -> Result<Kafka> {
    let name = format!("kafka-{}", member.index + 1);
    Ok(Kafka {
        home: data.join(&name),
        port: ports::free()?,
        advertised_port: None,
        direct_port: None,
        member: Some(member),
        log: logs.join(format!("{name}.log")),
    })
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

fn janitor(shop: &Path, folder: &Path, mounted: Option<&Path>) -> Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(shop);
    command
        .arg("guard")
        .arg("--remove")
        .arg(folder)
        .process_group(0);
    if let Some(mounted) = mounted {
        command.arg("--unmount").arg(mounted);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    child.context("cannot start a guard for the temporary folder")
}
