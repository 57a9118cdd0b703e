//! What the services measure of themselves: a collector of metrics, and nothing else.
//!
//! Values are cumulative, so the last one of each process counts, and a process that is started
//! again begins a new one. Not guaranteed: what a process did after its last export, if it was
//! killed. So a sum is a lower bound.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::{Metric, NumberDataPoint, metric::Data, number_data_point::Value},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Collects until it is dropped.
pub(crate) struct Meters {
    /// Where the services send it.
    pub(crate) endpoint: String,
    latest: Latest,
    _serving: JoinSet<()>,
}

/// The last value of each counter, by its name and by everything that tells it from others.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<HashMap<(String, String), i64>>>);

impl Meters {
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let latest = Latest::default();
        let service = MetricsServiceServer::new(latest.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = Server::builder().add_service(service);
            // It ends with its task; if it could not go on, sums would be missing and say so.
            let _ = server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await;
        });
        Ok(Self {
            endpoint,
            latest,
            _serving: serving,
        })
    }

    /// The sum of a counter over all processes; none if nobody ever sent it.
    pub(crate) fn sum(&self, counter: &str) -> Option<u64> {
        let latest = self.latest.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = latest.iter().filter(|((name, _), _)| name == counter);
        let values: Vec<i64> = values.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| u64::try_from(values.iter().sum::<i64>()).unwrap_or(0))
    }
}

impl Meters {
    /// The sums of all counters, by their names.
    pub(super) fn sums(&self) -> BTreeMap<String, u64> {
        let latest = self.latest.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names: BTreeSet<String> = latest.keys().map(|(name, _)| name.clone()).collect();
        drop(latest);
        let sum = |name: String| Some((name.clone(), self.sum(&name)?));
        names.into_iter().filter_map(sum).collect()
    }
}

#[tonic::async_trait]
impl MetricsService for Latest {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        for resource in request.into_inner().resource_metrics {
            let whose = format!("{:?}", resource.resource);
            let metrics = resource.scope_metrics.into_iter();
            for metric in metrics.flat_map(|scope| scope.metrics) {
                self.take(&whose, &metric);
            }
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Latest {
    fn take(&self, whose: &str, metric: &Metric) {
        let Some(Data::Sum(sum)) = &metric.data else {
            return;
        };
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for point in &sum.data_points {
            let NumberDataPoint {
                attributes,
                start_time_unix_nano,
                value: Some(Value::AsInt(value)),
                ..
            } = point
            else {
                continue;
            };
            let which = format!("{whose} {start_time_unix_nano} {attributes:?}");
            latest.insert((metric.name.clone(), which), *value);
        }
    }
}
