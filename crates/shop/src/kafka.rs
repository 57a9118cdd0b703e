//! An Apache Kafka of our own: nodes that are broker and controller, one or a cluster of them.
//!
//! Not guaranteed: that the last acknowledged messages survive a power loss. One node replicates to
//! nobody and leaves flushing to the system; `kill -9` of the broker loses nothing. Of three nodes,
//! two have a message before it counts as sent.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    maven::Packages, part::Part, ports, postgres::random_password, process::Program, tools,
};

/// Opens in under three seconds and stays below 300 MB.
const JVM: &[&str] = &[
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dlog4j2.level=INFO",
];

const MAIN_CLASS: &str = "kafka.Kafka";

/// Where a broker lives and listens.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Its configuration and data.
    pub home: PathBuf,
    /// Where it accepts clients.
    pub port: u16,
    /// Where it tells clients to connect, if not there: a proxy in front of it.
    pub advertised_port: Option<u16>,
    /// Where it accepts those who go round the proxy.
    pub direct_port: Option<u16>,
    /// The cluster that it is a node of; none if it is all by itself.
    pub member: Option<Member>,
    /// What it says.
    pub log: PathBuf,
}

/// A node's place in its cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// The same for all nodes.
    pub cluster_id: String,
    /// Where each node's controller listens. They elect one, so each has to know all.
    pub controllers: Vec<u16>,
    /// Which of them it is.
    pub index: usize,
}

impl Member {
    /// The places in a new cluster of so many nodes.
    pub fn of_cluster(nodes: usize) -> Result<Vec<Self>> {
        let controllers: Vec<u16> = (0..nodes).map(|_| ports::free()).collect::<Result<_>>()?;
        let cluster_id = cluster_id();
        let members = (0..nodes).map(|index| Self {
            cluster_id: cluster_id.clone(),
            controllers: controllers.clone(),
            index,
        });
        Ok(members.collect())
    }
}

fn cluster_id() -> String {
    random_password()[..22].to_owned()
}

impl Kafka {
    /// Writes the configuration and formats the data directory, unless that is done.
    pub async fn prepare(&self, packages: &Packages) -> Result<Program> {
        fs::create_dir_all(&self.home)?;
        fs::write(self.properties(), self.settings(&self.data())?)?;
        let program = self.program(&tools::java().await?, &packages.jars);
        if !self.data().is_dir() {
            self.format(&program).await?;
        }
        Ok(program)
    }

    /// What clients connect to first.
    pub fn brokers(&self) -> String {
        ports::loopback(self.advertised_port.unwrap_or(self.port)).to_string()
    }

    fn program(&self, java: &Path, jars: &Path) -> Program {
        let mut args: Vec<OsString> = JVM.iter().map(Into::into).collect();
        // The JVM itself expands the asterisk.
        args.extend(["-cp".into(), jars.join("*").into_os_string()]);
        args.extend([MAIN_CLASS.into(), self.properties().into_os_string()]);
        Program {
            part: Part::Kafka,
            path: java.to_owned(),
            args,
            env: Vec::new(),
            directory: self.home.clone(),
            log: self.log.clone(),
            account: None,
        }
    }

    async fn format(&self, program: &Program) -> Result<()> {
        let partial = self.home.join("data.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?; // A launcher was killed here.
        }
        let properties = self.home.join("format.properties");
        fs::write(&properties, self.settings(&partial)?)?;
        let member = self.member.as_ref();
        let cluster_id = member.map_or_else(cluster_id, |member| member.cluster_id.clone());
        let mut tool = Command::new(&program.path);
        tool.args(program.args.iter().take_while(|arg| *arg != MAIN_CLASS));
        tool.args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            &cluster_id,
            "--config",
        ]);
        let output = tool
            .arg(&properties)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "Kafka's StorageTool failed:\n{}",
            said.trim()
        );
        // Crash here: the next start formats another.
        fs::rename(&partial, self.data()).context("cannot finish Kafka's data directory")
    }

    fn settings(&self, data: &Path) -> Result<String> {
        let (controllers, index) = match &self.member {
            Some(member) => (member.controllers.clone(), member.index),
            None => (vec![ports::free()?], 0),
        };
        let broker = ports::loopback(self.port);
        let controller = ports::loopback(controllers[index]);
        let direct = self.direct_port.map(ports::loopback);
        let direct = direct.map(|direct| format!(",DIRECT://{direct}"));
        let direct = direct.unwrap_or_default();
        let voters = controllers.iter().enumerate();
        let voters = voters.map(|(at, port)| format!("{}@{}", at + 1, ports::loopback(*port)));
        let voters: Vec<String> = voters.collect();
        // What is written to fewer is not acknowledged; what one node cannot hold would never be.
        let (replicas, in_sync) = (controllers.len(), controllers.len().div_ceil(2));
        let mut lines = vec![
            format!("node.id={}", index + 1),
            format!("listeners=PLAINTEXT://{broker},CONTROLLER://{controller}{direct}"),
            format!(
                "advertised.listeners=PLAINTEXT://{}{direct}",
                self.brokers()
            ),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("log.dirs={}", data.display()),
            format!("offsets.topic.replication.factor={replicas}"),
            format!("transaction.state.log.replication.factor={replicas}"),
            format!("transaction.state.log.min.isr={in_sync}"),
            format!("share.coordinator.state.topic.replication.factor={replicas}"),
            format!("share.coordinator.state.topic.min.isr={in_sync}"),
            format!("min.insync.replicas={in_sync}"),
        ];
        lines.extend(SETTINGS.iter().map(|line| (*line).to_owned()));
        Ok(lines.join("\n"))
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn properties(&self) -> PathBuf {
        self.home.join("server.properties")
    }
}

/// What every broker is told, wherever it listens: `name=value`.
pub const SETTINGS: &[&str] = &[
    "process.roles=broker,controller",
    "controller.listener.names=CONTROLLER",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    // Services create their topics; a misspelled one must fail, not appear.
    "auto.create.topics.enable=false",
    // The default of 50 is for clusters; it delays the first commit of a group.
    "offsets.topic.num.partitions=4",
    // A group that starts waits for nobody else to join.
    "group.initial.rebalance.delay.ms=0",
    // A killed consumer's partitions move after six seconds; how short that may be is the broker's.
    "group.consumer.min.session.timeout.ms=1000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=500",
    "group.consumer.heartbeat.interval.ms=1000",
    // After kill -9 a broker waits until its former self has expired: 9 s by default.
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    // The default of 128 MB is a third of our heap.
    "log.cleaner.dedupe.buffer.size=8388608",
    // A replica that is gone holds up what is acknowledged for so long: 30 s by default.
    "replica.lag.time.max.ms=5000",
    "num.network.threads=2",
    "num.io.threads=4",
];
