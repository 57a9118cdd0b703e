//! The two programs that must be on the machine: a Java runtime and Maven.

use std::{io::ErrorKind, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// Kafka 4 brokers are compiled for it.
const OLDEST_JAVA: u32 = 17;

const HOW_TO_INSTALL: &str = "\
Install a Java runtime, version 17 or later, and Apache Maven:
  Debian, Ubuntu   sudo apt-get install openjdk-17-jre-headless maven   (or openjdk-21-jre-headless)
  Fedora           sudo dnf install java-21-openjdk-headless maven
  Arch             sudo pacman -S jre17-openjdk-headless maven
  macOS            brew install openjdk@17 maven
or use your own servers: set DATABASE_URL and KAFKA_BROKERS.";

/// The `java` of `JAVA_HOME`, else of the path.
pub async fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let java = home.map_or_else(
        || "java".into(),
        |home| PathBuf::from(home).join("bin/java"),
    );
    let Some(output) = version_of(&java, "-version").await? else {
        bail!("{} is missing.\n{HOW_TO_INSTALL}", java.display());
    };
    match major(&output) {
        Some(version) if version < OLDEST_JAVA => {
            bail!(
                "{} is version {version}, too old.\n{HOW_TO_INSTALL}",
                java.display()
            )
        }
        _ => Ok(java),
    }
}

/// Maven, and the Java it needs.
pub async fn maven() -> Result<PathBuf> {
    java().await?;
    let maven = PathBuf::from("mvn");
    match version_of(&maven, "--version").await? {
        Some(_) => Ok(maven),
        None => bail!("mvn, Apache Maven, is missing.\n{HOW_TO_INSTALL}"),
    }
}

/// What a program says about itself; `None` if there is no such program.
async fn version_of(program: &PathBuf, flag: &str) -> Result<Option<String>> {
    match Command::new(program)
        .arg(flag)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
    {
        // Java answers on stderr.
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stderr).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot run {}", program.display())),
    }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`; 1 of Java 8's `"1.8.0_402"`.
fn major(output: &str) -> Option<u32> {
    let version = output.split('"').nth(1)?;
    version.split(['.', '-', '+', '_']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_version_of_a_java_is_read_from_what_it_says() {
        assert_eq!(
            major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK …"),
            Some(17)
        );
        assert_eq!(major("openjdk version \"26-ea\" 2026-03-17"), Some(26));
        assert_eq!(major("java version \"1.8.0_402\""), Some(1));
        assert_eq!(major("Picked up JAVA_TOOL_OPTIONS"), None);
    }
}
