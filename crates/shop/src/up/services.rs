//! The services: kept if they run as wanted, else started.

use std::{fs, net::SocketAddr, time::SystemTime};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;

use super::{opening::Opening, telemetry};
use crate::{
    binaries,
    part::Part,
    ports,
    postgres::{ensure_database, random_password},
    services::Service,
    state::Build,
};

/// Where a service is to listen, and when its binary was built.
pub struct Plan {
    service: Service,
    address: SocketAddr,
    built: SystemTime,
}

/// Finds binaries and ports, or says what is wrong with them.
pub fn plan(opening: &Opening<'_>) -> Result<Vec<Plan>> {
    let plans = Service::ALL.into_iter().map(|service| {
        let binary = binaries::service(service.name())?;
        let built = fs::metadata(&binary)?.modified()?;
        Ok(Plan {
            service,
            address: address(opening, service)?,
            built,
        })
    });
    plans.collect()
}

fn address(opening: &Opening<'_>, service: Service) -> Result<SocketAddr> {
    let (part, state) = (service.part(), opening.state.get());
    let wanted = match service {
        Service::Payments => opening.options.payments_port,
        Service::Barista => opening.options.barista_port,
        Service::Reception => opening.options.reception_port,
    };
    let own = state.alive(part).and_then(|_| state.addresses.get(&part));
    let address = match (wanted, own) {
        (None | Some(0), Some(address)) => *address,
        (Some(0), None) => ports::loopback(ports::free()?),
        (Some(port), _) => ports::loopback(port),
        (None, None) => ports::loopback(service.default_port()),
    };
    if own != Some(&address) {
        ports::ensure_free(address.port(), part.name())?;
    }
    Ok(address)
}

/// Makes the databases, starts what does not run as wanted, and waits for all.
pub async fn open(opening: &Opening<'_>, plans: &[Plan]) -> Result<()> {
    try_join_all(
        plans
            .iter()
            .map(|plan| database(opening, plan.service.part())),
    )
    .await?;
    try_join_all(plans.iter().map(|plan| open_one(opening, plan, plans))).await?;
    Ok(())
}

async fn open_one(opening: &Opening<'_>, plan: &Plan, plans: &[Plan]) -> Result<()> {
    let part = plan.service.part();
    let build = Build {
        settings: settings(opening, plan.service, plans)?,
        built: Some(plan.built),
    };
    let running = opening.state.get().alive(part).cloned();
    if let Some(running) = &running
        && let Some(why) = difference(&running.build, &build)
    {
        opening.end(part, why).await?;
    }
    let step = opening.progress.step(format!("opening {part}"));
    if opening.state.get().alive(part).is_none() {
        let log = opening.dir.log(part.name());
        let program = plan
            .service
            .program(plan.address, &log, build.settings.clone())?;
        opening.start(program, plan.address, build)?;
    }
    opening
        .ready(part, &plan.service.probe(plan.address), step)
        .await
}

fn difference(is: &Build, wanted: &Build) -> Option<&'static str> {
    if is.built != wanted.built {
        return Some("it was built anew");
    }
    (is.settings != wanted.settings).then_some("its settings are others")
}

async fn database(opening: &Opening<'_>, part: Part) -> Result<()> {
    let state = opening.state.get();
    // The known password again: a service that is running must be able to connect anew.
    let known = state
        .database_urls
        .get(&part)
        .and_then(|url| url::Url::parse(url).ok());
    let password = known.and_then(|url| url.password().map(str::to_owned));
    let password = password.unwrap_or_else(random_password);
    let url = ensure_database(&state.postgres_url, part.name(), part.name(), &password).await;
    let url = url.with_context(|| format!("cannot make the database of {part}"))?;
    opening
        .state
        .update(|state| drop(state.database_urls.insert(part, url)))
}

fn settings(
    opening: &Opening<'_>,
    service: Service,
    plans: &[Plan],
) -> Result<Vec<(String, String)>> {
    let state = opening.state.get();
    let url = state
        .database_urls
        .get(&service.part())
        .context("the service has no database")?;
    let mut settings = vec![
        ("DATABASE_URL", url.clone()),
        ("LOG_FORMAT", "human".to_owned()),
    ];
    settings.extend(telemetry::settings(&state));
    if service != Service::Payments {
        settings.push(("KAFKA_BROKERS", state.kafka_brokers.clone()));
    }
    if service == Service::Barista {
        settings.push(("BREW_SCALE", state.brew_scale.to_string()));
    }
    if service == Service::Reception {
        let payments = plans.iter().find(|plan| plan.service == Service::Payments);
        let payments = payments.context("nobody takes payments")?;
        settings.push(("PAYMENTS_URL", format!("http://{}", payments.address)));
    }
    Ok(settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}
