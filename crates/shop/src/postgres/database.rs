//! One database and one role per service, on a server of ours or on one that was given to us.

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use sqlx::{Connection as _, PgConnection};
use url::Url;

/// Makes the database `name` owned by the role `role`, with a new random password, and returns the
/// URL with which that role connects.
pub async fn create_database(admin_url: &str, name: &str, role: &str) -> Result<String> {
    ensure_database(admin_url, name, role, &random_password()).await
}

/// The same with a known password. Doing it again changes nothing.
pub async fn ensure_database(
    admin_url: &str,
    name: &str,
    role: &str,
    password: &str,
) -> Result<String> {
    for word in [name, role, password] {
        ensure_plain(word)?;
    }
    let mut admin = connect(admin_url).await?;
    if !exists(
        &mut admin,
        "select exists (select from pg_roles where rolname = $1)",
        role,
    )
    .await?
    {
        execute(&mut admin, format!("create role {role} login")).await?;
    }
    execute(
        &mut admin,
        format!("alter role {role} password '{password}'"),
    )
    .await?;
    if !exists(
        &mut admin,
        "select exists (select from pg_database where datname = $1)",
        name,
    )
    .await?
    {
        // Without this grant an admin who is not a superuser cannot give the database away.
        execute(&mut admin, format!("grant {role} to current_user")).await?;
        execute(&mut admin, format!("create database {name} owner {role}")).await?;
    }
    admin.close().await?;
    as_role(admin_url, name, role, password)
}

/// The admin's URL with its host and its parameters, but for another role and database.
fn as_role(admin_url: &str, name: &str, role: &str, password: &str) -> Result<String> {
    let mut url = Url::parse(admin_url).context("not the URL of a Postgres")?;
    let changed = url
        .set_username(role)
        .and_then(|()| url.set_password(Some(password)));
    ensure!(changed.is_ok(), "the URL of a Postgres needs a host");
    url.set_path(name);
    Ok(url.into())
}

/// Refuses a server that is too old for the services: they set `transaction_timeout`.
pub async fn check_version(admin_url: &str) -> Result<()> {
    let mut admin = connect(admin_url).await?;
    let version: String = sqlx::query_scalar("show server_version")
        .fetch_one(&mut admin)
        .await?;
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    ensure!(
        major.is_some_and(|major: u32| major >= 17),
        "it is version {version}, not 17 or later"
    );
    Ok(admin.close().await?)
}

/// Removes a database, whoever is connected to it, and its role.
pub async fn drop_database(admin_url: &str, name: &str, role: &str) -> Result<()> {
    ensure_plain(name)?;
    ensure_plain(role)?;
    let mut admin = connect(admin_url).await?;
    execute(
        &mut admin,
        format!("drop database if exists {name} with (force)"),
    )
    .await?;
    execute(&mut admin, format!("drop role if exists {role}")).await?;
    Ok(admin.close().await?)
}

/// Makes the database `copy` as `name` is now, whoever is connected to `name`: they are thrown out,
/// and nobody is let in meanwhile.
pub async fn copy_database(admin_url: &str, name: &str, copy: &str, role: &str) -> Result<()> {
    for word in [name, copy, role] {
        ensure_plain(word)?;
    }
    let mut admin = connect(admin_url).await?;
    execute(
        &mut admin,
        format!("alter database {name} allow_connections false"),
    )
    .await?;
    sqlx::query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1")
        .bind(name)
        .execute(&mut admin)
        .await?;
    execute(
        &mut admin,
        format!("create database {copy} template {name} owner {role}"),
    )
    .await?;
    execute(
        &mut admin,
        format!("alter database {name} allow_connections true"),
    )
    .await?;
    Ok(admin.close().await?)
}

/// Puts the database `copy` in the place of `name`, whoever is connected to that.
pub async fn replace_database(admin_url: &str, name: &str, copy: &str) -> Result<()> {
    ensure_plain(name)?;
    ensure_plain(copy)?;
    let mut admin = connect(admin_url).await?;
    execute(&mut admin, format!("drop database {name} with (force)")).await?;
    execute(
        &mut admin,
        format!("alter database {copy} rename to {name}"),
    )
    .await?;
    Ok(admin.close().await?)
}

/// 128 random bits as hexadecimal digits.
pub fn random_password() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

async fn connect(admin_url: &str) -> Result<PgConnection> {
    PgConnection::connect(admin_url)
        .await
        .context("cannot connect to Postgres")
}

async fn exists(admin: &mut PgConnection, question: &'static str, name: &str) -> Result<bool> {
    Ok(sqlx::query_scalar(question)
        .bind(name)
        .fetch_one(admin)
        .await?)
}

/// Statements about roles and databases take no parameters, hence [`ensure_plain`].
async fn execute(admin: &mut PgConnection, statement: String) -> Result<()> {
    let verb = statement.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
    statement
        .execute(admin)
        .await
        .with_context(|| format!("cannot {verb}"))?;
    Ok(())
}

fn ensure_plain(word: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        !word.is_empty() && word.chars().all(plain),
        "not a plain SQL name: {word}"
    );
    Ok(())
}
