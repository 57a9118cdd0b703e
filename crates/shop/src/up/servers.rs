//! Postgres and Kafka: given, running already, or started.

use anyhow::{Context as _, Result};

use super::opening::Opening;
use crate::{
    kafka::Kafka,
    maven::{self, Packages},
    part::Part,
    postgres::{self, Postgres},
    probe::Probe,
    state::Build,
    tools,
};

/// Makes both ready and notes how to reach them.
pub async fn open(opening: &Opening<'_>) -> Result<()> {
    let packages = packages(opening).await?;
    let (url, brokers) = tokio::try_join!(
        open_postgres(opening, &packages),
        open_kafka(opening, &packages)
    )?;
    opening.state.update(|state| {
        state.postgres_url = url;
        state.kafka_brokers = brokers;
    })
}

/// `None` if nothing has to be started from them.
async fn packages(opening: &Opening<'_>) -> Result<Option<Packages>> {
    let (given, state) = (opening.options.given(), opening.state.get());
    let postgres = given.database_url.is_some() || state.alive(Part::Postgres).is_some();
    let kafka = given.kafka_brokers.is_some() || state.alive(Part::Kafka).is_some();
    if !kafka {
        tools::java().await?;
    }
    match postgres && kafka {
        true => Ok(None),
        false => maven::resolve(opening.progress).await.map(Some),
    }
}

async fn open_postgres(opening: &Opening<'_>, packages: &Option<Packages>) -> Result<String> {
    if let Some(url) = &opening.options.database_url {
        postgres::check_version(url)
            .await
            .context("cannot use the Postgres of DATABASE_URL")?;
        return Ok(url.clone());
    }
    let part = Part::Postgres;
    let step = opening.progress.step("opening postgres");
    if let Some(packages) = packages
        && opening.state.get().alive(part).is_none()
    {
        start_postgres(opening, packages).await?;
    }
    let url = opening.state.get().postgres_url;
    opening
        .ready(part, &Probe::Postgres(url.clone()), step)
        .await?;
    Ok(url)
}

async fn start_postgres(opening: &Opening<'_>, packages: &Packages) -> Result<()> {
    let (dir, address) = (opening.dir, opening.address(Part::Postgres)?);
    let home = dir.create_postgres()?;
    let binaries = postgres::unpack(packages, dir).await?;
    let log = dir.log(Part::Postgres.name());
    let postgres = Postgres::prepare(binaries, home, address.port(), log).await?;
    opening
        .state
        .update(|state| state.postgres_url = postgres.admin_url())?;
    opening.start(postgres.program(), address, Build::default())
}

async fn open_kafka(opening: &Opening<'_>, packages: &Option<Packages>) -> Result<String> {
    if let Some(brokers) = &opening.options.kafka_brokers {
        Probe::Kafka(brokers.clone())
            .ask()
            .await
            .context("cannot use the Kafka of KAFKA_BROKERS")?;
        return Ok(brokers.clone());
    }
    let part = Part::Kafka;
    let step = opening.progress.step("opening kafka");
    let address = opening.address(part)?;
    if let Some(packages) = packages
        && opening.state.get().alive(part).is_none()
    {
        let (home, log) = (opening.dir.kafka(), opening.dir.log(part.name()));
        let kafka = Kafka {
            home,
            port: address.port(),
            advertised_port: None,
            direct_port: None,
            member: None,
            log,
        };
        opening.start(kafka.prepare(packages).await?, address, Build::default())?;
    }
    opening
        .ready(part, &Probe::Kafka(address.to_string()), step)
        .await?;
    Ok(address.to_string())
}
