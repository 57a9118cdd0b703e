//! How to tell that a part of the shop is ready: by using it as its clients do.

use std::{net::SocketAddr, str::FromStr as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// `shop probe`.
pub mod command;

const PAUSE: Duration = Duration::from_millis(50);
/// One question that is not answered in this time is asked again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What readiness means.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A connection to this URL succeeds.
    Postgres(String),
    /// These brokers tell about themselves.
    Kafka(String),
    /// `grpc.health.v1` reports this service as serving.
    Grpc(SocketAddr, &'static str),
}

impl Probe {
    /// Asks until the answer is yes, the program has ended (`alive` says no), or patience is out.
    pub async fn wait(&self, alive: impl Fn() -> bool, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let alive = alive();
            let answer = match timeout(ATTEMPT, self.ask()).await {
                Ok(answer) => answer,
                Err(_) => Err(anyhow::anyhow!("no answer within {ATTEMPT:?}")),
            };
            match answer {
                Ok(()) if alive => return Ok(()),
                _ if !alive => bail!("it ended"),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("not ready after {patience:?}")));
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Asks once.
    pub async fn ask(&self) -> Result<()> {
        match self {
            Self::Postgres(url) => ask_postgres(url).await,
            Self::Kafka(brokers) => ask_kafka(brokers).await,
            Self::Grpc(address, service) => ask_grpc(*address, service).await,
        }
    }
}

async fn ask_postgres(url: &str) -> Result<()> {
    let options = PgConnectOptions::from_str(url).context("not the URL of a Postgres")?;
    Ok(PgConnection::connect_with(&options).await?.close().await?)
}

async fn ask_kafka(brokers: &str) -> Result<()> {
    // A client of librdkafka logs every refused connection, hence first a plain one.
    for broker in brokers.split(',') {
        TcpStream::connect(broker.trim())
            .await
            .with_context(|| format!("no Kafka at {broker}"))?;
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let question = move || -> Result<usize> {
        let consumer: BaseConsumer = config.create()?;
        Ok(consumer.fetch_metadata(None, ATTEMPT)?.brokers().len())
    };
    ensure!(
        tokio::task::spawn_blocking(question).await?? > 0,
        "the cluster has no broker yet"
    );
    Ok(())
}

async fn ask_grpc(address: SocketAddr, service: &str) -> Result<()> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
    let mut client = HealthClient::new(endpoint.connect_timeout(ATTEMPT).connect().await?);
    let question = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = client.check(question).await?.into_inner().status();
    ensure!(
        answer == ServingStatus::Serving,
        "{service} answers {}",
        answer.as_str_name()
    );
    Ok(())
}
