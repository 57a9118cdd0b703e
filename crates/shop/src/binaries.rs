//! The other binaries of the workspace, which lie beside this one.
//!
//! Guarantee: a service that was built from older sources than those on disk is not started; a test
//! of yesterday's binary would prove nothing. "Older than this binary" would be the wrong question:
//! cargo does not link again what did not change, so touching the launcher alone would refuse
//! everything. Cargo writes `reception.d` beside `reception`, with every source of it and of the
//! crates of the workspace under it; a binary is stale if one of these is newer.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};

/// The launcher itself, which guards the children of tests. Any build of it will do.
pub fn shop() -> Result<PathBuf> {
    existing("shop")
}

/// The binary of this service, if it is up to date.
pub fn service(name: &str) -> Result<PathBuf> {
    let path = existing(name)?;
    if let Some(source) = newer_source(&path)? {
        bail!(
            "{} was built before {} changed; run `cargo build --locked` first",
            path.display(),
            source.display(),
        );
    }
    Ok(path)
}

fn existing(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(
        path.is_file(),
        "there is no {}; run `cargo build --locked` first",
        path.display()
    );
    Ok(path)
}

/// Where cargo puts binaries; those of tests lie one folder deeper, in `deps`.
fn folder() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = own.parent().context("this program lies in no folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// A binary without a dep-info file was installed somewhere and has no sources to compare with.
fn newer_source(binary: &Path) -> Result<Option<PathBuf>> {
    let Ok(dep_info) = fs::read_to_string(binary.with_extension("d")) else {
        return Ok(None);
    };
    let built = fs::metadata(binary)?.modified()?;
    Ok(sources(&dep_info)
        .into_iter()
        .find(|source| modified(source).is_some_and(|time| time > built)))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// The right side of `target: source source…`, in which a space inside a name is `\ `.
fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, list)) = dep_info.split_once(": ") else {
        return Vec::new();
    };
    let list = list.trim_end().replace("\\ ", "\0");
    list.split(' ')
        .map(|name| PathBuf::from(name.replace('\0', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::PathBuf,
        time::{Duration, SystemTime},
    };

    use super::{newer_source, sources};

    #[test]
    fn a_binary_with_a_newer_source_is_stale() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (binary, source) = (
            folder.path().join("barista"),
            folder.path().join("my drink.rs"),
        );
        let listed = source.display().to_string().replace(' ', "\\ ");
        fs::write(
            folder.path().join("barista.d"),
            format!("{}: /gone.rs {listed}\n", binary.display()),
        )
        .expect("the folder can be written");
        fs::write(&source, "").expect("the folder can be written");
        let file = fs::File::create(&binary).expect("the folder can be written");

        file.set_modified(SystemTime::now() + Duration::from_secs(60))
            .expect("times can be set");
        assert_eq!(newer_source(&binary).expect("readable"), None);
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .expect("times can be set");
        assert_eq!(newer_source(&binary).expect("readable"), Some(source));
    }

    #[test]
    fn dep_info_is_a_list_of_names_with_escaped_spaces() {
        let names = sources("/t/debug/barista: /a/lib.rs /b\\ c/main.rs\n");
        assert_eq!(
            names,
            [PathBuf::from("/a/lib.rs"), PathBuf::from("/b c/main.rs")]
        );
    }
}
