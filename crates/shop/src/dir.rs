//! Where a shop keeps what is its own: `.shop/` at the root of the clone.
//!
//! PostgreSQL refuses to run as root, and an unprivileged user cannot enter a clone under `/root`.
//! For root, Postgres therefore lives in `/var/tmp/coffeeshop-<hash of the folder's path>`;
//! `.shop/postgres` is a link to it.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};

use crate::process::Account;

/// Which shop is meant.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// The folder of the shop's state, data and logs [default: .shop at the root of the clone].
    #[arg(long, env = "SHOP_DIR", value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
}

/// The folder of one shop.
#[derive(Clone, Debug)]
pub struct ShopDir {
    root: PathBuf,
}

impl ShopDir {
    /// The folder that was asked for, else `.shop` in the clone around the current folder.
    pub fn find(options: &Options) -> Result<Self> {
        let root = match &options.dir {
            Some(dir) => std::path::absolute(dir)?,
            None => clone_root()?.join(".shop"),
        };
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Makes the folder and what lies in it.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(self.logs())
            .with_context(|| format!("cannot create {}", self.root.display()))
    }

    /// Log files.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The log of one part of the shop.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// What runs where.
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Held while a shop is being opened or closed.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What `shop trace` shows.
    pub fn spans(&self) -> PathBuf {
        self.root.join("spans")
    }

    /// Kafka's configuration and data.
    pub fn kafka(&self) -> PathBuf {
        self.root.join("kafka")
    }

    /// Postgres' data, and for root its binaries.
    pub fn postgres(&self) -> PathBuf {
        let inside = self.root.join("postgres");
        if !Uid::effective().is_root() {
            return inside;
        }
        let hash = short_hash(self.root.as_os_str().as_encoded_bytes());
        Path::new("/var/tmp").join(format!("coffeeshop-{hash}"))
    }

    /// Makes Postgres' folder. A foreign one of that name in `/var/tmp` is refused.
    pub fn create_postgres(&self) -> Result<PathBuf> {
        self.create()?;
        let folder = self.postgres();
        if let Err(error) = fs::DirBuilder::new().mode(0o755).create(&folder)
            && !folder.is_dir()
        {
            return Err(error).with_context(|| format!("cannot create {}", folder.display()));
        }
        let found = fs::symlink_metadata(&folder)?;
        let ours = found.is_dir() && found.uid() == Uid::effective().as_raw();
        ensure!(
            ours,
            "{} belongs to somebody else; remove it",
            folder.display()
        );
        let note = self.root.join("postgres");
        if note != folder && fs::symlink_metadata(&note).is_err() {
            symlink(&folder, &note)?;
        }
        Ok(folder)
    }
}

fn clone_root() -> Result<PathBuf> {
    let start = env::current_dir()?;
    let ours = |folder: &&Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line == "name = \"coffeeshop\"")
    };
    match start.ancestors().find(ours) {
        Some(root) => Ok(root.to_owned()),
        None => bail!(
            "{} is not inside a clone of the shop; name its folder with --dir, or a shop elsewhere: \
             `shop order --reception URL`",
            start.display()
        ),
    }
}

/// Twelve hexadecimal digits that stand for these bytes.
pub fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The user to run as where root is refused; `None` unless this is root.
pub fn unprivileged() -> Result<Option<Account>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let nobody = User::from_name("nobody")?
        .context("PostgreSQL refuses to run as root, and there is no user nobody to run it")?;
    Ok(Some(Account {
        uid: nobody.uid.as_raw(),
        gid: nobody.gid.as_raw(),
    }))
}
