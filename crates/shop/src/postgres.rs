//! A PostgreSQL 18 of our own, in a private folder.
//!
//! Guarantee: what was committed survives `kill -9` of the server and of the machine: fsync stays
//! on, also in tests, because the shop's promise is measured with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    dir,
    part::Part,
    ports,
    process::{Account, Program, write_private},
};

/// Unpacking the package from Maven.
mod binaries;
/// One database and one role per service.
mod database;

pub use binaries::unpack;
pub use database::{
    check_version, copy_database, create_database, drop_database, ensure_database, random_password,
    replace_database,
};

/// The role that may create databases and roles.
const ADMIN: &str = "postgres";

/// Where a server lives and listens.
#[derive(Clone, Debug)]
pub struct Postgres {
    home: PathBuf,
    binaries: PathBuf,
    port: u16,
    log: PathBuf,
    account: Option<Account>,
    password: String,
}

impl Postgres {
    /// Makes the data directory in `home`, unless there is one.
    pub async fn prepare(
        binaries: PathBuf,
        home: PathBuf,
        port: u16,
        log: PathBuf,
    ) -> Result<Self> {
        let account = dir::unprivileged()?;
        let password = password_of(&home, account)?;
        let server = Self {
            home,
            binaries,
            port,
            log,
            account,
            password,
        };
        if !server.data().is_dir() {
            server.initialize().await?;
        }
        Ok(server)
    }

    /// The server as a program.
    pub fn program(&self) -> Program {
        let mut args = vec!["-D".into(), self.data().into_os_string()];
        args.extend(["-p".into(), self.port.to_string().into()]);
        args.extend(
            SETTINGS
                .iter()
                .flat_map(|setting| ["-c".into(), (*setting).into()]),
        );
        Program {
            part: Part::Postgres,
            path: self.binaries.join("bin/postgres"),
            args,
            env: Vec::new(),
            directory: self.home.clone(),
            log: self.log.clone(),
            account: self.account,
        }
    }

    /// How the role that may create databases and roles connects.
    pub fn admin_url(&self) -> String {
        format!(
            "postgres://{ADMIN}:{}@{}/postgres",
            self.password,
            ports::loopback(self.port)
        )
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    async fn initialize(&self) -> Result<()> {
        let fresh = self.home.join("data.partial");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?; // A launcher was killed here.
        }
        fs::create_dir(&fresh)?;
        give_to(&fresh, self.account)?;
        let mut initdb = Command::new(self.binaries.join("bin/initdb"));
        initdb
            .arg("-D")
            .arg(&fresh)
            .args(["-U", ADMIN, "--auth=scram-sha-256"]);
        initdb.arg("--pwfile").arg(self.home.join("password"));
        // The same order of text on every machine, and no locale package needed.
        initdb.args(["--encoding=UTF8", "--no-locale", "--no-instructions"]);
        initdb.args(["-c", SCRAM_ITERATIONS]);
        if let Some(account) = self.account {
            initdb.uid(account.uid).gid(account.gid);
        }
        initdb
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let output = initdb.output().await.context("cannot run initdb")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "initdb failed ({}):\n{}",
            output.status,
            said.trim()
        );
        // Crash here: the next start makes another.
        fs::rename(&fresh, self.data()).context("cannot finish the data directory")
    }
}

/// For the passwords that the launcher sets, and for the one that initdb does.
const SCRAM_ITERATIONS: &str = "scram_iterations=1";

const SETTINGS: &[&str] = &[
    // Passwords are 128 random bits, which need no slow hash; the default of 4096 rounds costs each
    // connection of a debug build 20 ms.
    SCRAM_ITERATIONS,
    "listen_addresses=127.0.0.1",
    // A socket's path may have 107 bytes at most; a clone's folder may be deeper.
    "unix_socket_directories=",
    // Small enough for a laptop on which two shops and their tests run.
    "shared_buffers=64MB",
    // Every service, test and relay of a whole test run has its own pool.
    "max_connections=300",
    "log_line_prefix=%m [%p] %d ",
    "log_checkpoints=off",
];

fn password_of(home: &Path, account: Option<Account>) -> Result<String> {
    let file = home.join("password");
    if !file.exists() {
        write_private(&file, &random_password())?;
        give_to(&file, account)?;
    }
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn give_to(path: &Path, account: Option<Account>) -> Result<()> {
    let Some(account) = account else {
        return Ok(());
    };
    std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
        .with_context(|| format!("cannot give {} to another user", path.display()))
}
