//! What the services measure of themselves: the counters among it.
//!
//! Values are cumulative, so the last one of each process counts, and a process that is started
//! again begins a new one. Not guaranteed: what a process did after its last export, if it was
//! killed. So a sum is a lower bound.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Metric, NumberDataPoint, metric::Data, number_data_point::Value},
};

/// The last value of each counter.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<Latest>);

/// By its name and by everything that tells it from others.
type Latest = HashMap<(String, String), i64>;

impl Meters {
    /// The sum of a counter over all processes; none if nobody ever sent it.
    pub(crate) fn sum(&self, counter: &str) -> Option<u64> {
        let latest = self.lock();
        let values = latest.iter().filter(|((name, _), _)| name == counter);
        let values: Vec<i64> = values.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| u64::try_from(values.iter().sum::<i64>()).unwrap_or(0))
    }

    /// The sums of all counters, by their names.
    pub(super) fn sums(&self) -> BTreeMap<String, u64> {
        let names: BTreeSet<String> = self.lock().keys().map(|(name, _)| name.clone()).collect();
        let sum = |name: String| Some((name.clone(), self.sum(&name)?));
        names.into_iter().filter_map(sum).collect()
    }

    pub(super) fn take(&self, export: ExportMetricsServiceRequest) {
        let mut latest = self.lock();
        for resource in export.resource_metrics {
            let whose = format!("{:?}", resource.resource);
            let metrics = resource.scope_metrics.into_iter();
            for metric in metrics.flat_map(|scope| scope.metrics) {
                count(&mut latest, &whose, &metric);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(latest: &mut Latest, whose: &str, metric: &Metric) {
    let Some(Data::Sum(sum)) = &metric.data else {
        return;
    };
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
