//! How busy a pool is, and what a connection takes to get.
//!
//! sqlx tells nobody how long its callers waited. So somebody queues up with them, once a second,
//! and says how long it took: a sample of what everybody waits, and of no interest to an idle pool.

use super::acquire;
use crate::Stop;
use opentelemetry::{
    KeyValue, global,
    metrics::{Histogram, Meter},
};
use sqlx::PgPool;
use std::time::Duration;
use telemetry::semconv::metrics::{
    DB_CONNECTION_WAIT, DB_CONNECTIONS, DB_CONNECTIONS_MAX, Metric, SECONDS,
};
use tokio::time::{Instant, sleep};

/// Between two samples.
const PAUSE: Duration = Duration::from_secs(1);

/// Measures a pool until it is told to stop.
///
/// # Errors
/// None today: what a database that is away costs its callers is measured, too.
pub async fn watch(pool: PgPool, name: &'static str, stop: Stop) -> anyhow::Result<()> {
    let meter = global::meter("coffeeshop.lifecycle");
    sizes(&meter, &pool, name);
    let wait = DB_CONNECTION_WAIT.histogram(&meter, SECONDS);
    while !stop.is_cancelled() {
        stop.run_until_cancelled(sample(&pool, name, &wait)).await;
        stop.run_until_cancelled(sleep(PAUSE)).await;
    }
    Ok(())
}

/// Who gets none within a caller's patience has waited for all of it.
async fn sample(pool: &PgPool, name: &'static str, wait: &Histogram<f64>) {
    let begin = Instant::now();
    drop(acquire(pool).await);
    wait.record(begin.elapsed().as_secs_f64(), &[of(name)]);
}

/// Asked when metrics are sent.
fn sizes(meter: &Meter, pool: &PgPool, name: &'static str) {
    let in_state = move |state| vec![of(name), KeyValue::new("db.client.connection.state", state)];
    up_down(meter, &DB_CONNECTIONS, pool, move |pool| {
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        // Two looks at a pool that moves: it may seem to have more idle than there are.
        let used = i64::from(pool.size()).saturating_sub(idle).max(0);
        vec![(idle, in_state("idle")), (used, in_state("used"))]
    });
    up_down(meter, &DB_CONNECTIONS_MAX, pool, move |pool| {
        let most = pool.options().get_max_connections();
        vec![(i64::from(most), vec![of(name)])]
    });
}

fn up_down(
    meter: &Meter,
    metric: &Metric,
    pool: &PgPool,
    values: impl Fn(&PgPool) -> Vec<(i64, Vec<KeyValue>)> + Send + Sync + 'static,
) {
    let pool = pool.clone();
    meter
        .i64_observable_up_down_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |observer| {
            for (value, attributes) in values(&pool) {
                observer.observe(value, &attributes);
            }
        })
        .build();
}

fn of(name: &'static str) -> KeyValue {
    KeyValue::new("db.client.connection.pool.name", name)
}
