//! Unpacking PostgreSQL: a `.txz` inside a jar, 75 MB on disk.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use liblzma::read::XzDecoder;
use nix::unistd::Uid;

use crate::{dir::ShopDir, lock, maven::Packages};

/// The folder with `bin/postgres`, unpacked if need be: beside the jars, but for root in the shop's
/// folder under `/var/tmp`, because the user it runs as cannot read root's cache.
pub async fn unpack(packages: &Packages, dir: &ShopDir) -> Result<PathBuf> {
    let parent = match Uid::effective().is_root() {
        true => dir.create_postgres()?,
        false => packages.jars.clone(),
    };
    let folder = parent.join(format!("postgres-{}", packages.version));
    let _lock = lock::wait(&parent.join("postgres.lock")).await?;
    if !folder.is_dir() {
        let (jars, target) = (packages.jars.clone(), folder.clone());
        tokio::task::spawn_blocking(move || unpack_into(&target, &jars)).await??;
    }
    Ok(folder)
}

fn unpack_into(folder: &Path, jars: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let mut jar = zip::ZipArchive::new(File::open(find_jar(jars)?)?)?;
    let inner = jar
        .file_names()
        .find(|name| name.ends_with(".txz"))
        .map(str::to_owned);
    let inner = inner.context("the PostgreSQL package holds no .txz")?;
    extract(jar.by_name(&inner)?, &partial)?;
    // Crash here: the next start unpacks again.
    fs::rename(&partial, folder).context("cannot finish unpacking PostgreSQL")
}

fn extract(packed: impl Read, folder: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(XzDecoder::new(packed));
    archive.unpack(folder).context("cannot unpack PostgreSQL")
}

fn find_jar(jars: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(jars)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("embedded-postgres-binaries")
        {
            return Ok(entry.path());
        }
    }
    anyhow::bail!(
        "no PostgreSQL package in {}; delete that folder",
        jars.display()
    )
}
