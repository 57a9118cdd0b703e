//! What this process takes of its machine, asked when metrics are sent.
//!
//! Not guaranteed: memory anywhere but on Linux.

use crate::semconv::metrics::{
    Metric, PROCESS_CPU_TIME, PROCESS_MEMORY_USAGE, RUNTIME_BUSY, RUNTIME_QUEUE, RUNTIME_TASKS,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use opentelemetry::{KeyValue, global, metrics::Meter};
use std::{fs, time::Duration};
use tokio::runtime::{Handle, RuntimeMetrics};

/// Measures from now on. Inside the runtime that is to be measured.
pub(crate) fn measure() {
    let meter = global::meter("coffeeshop.telemetry");
    cpu(&meter);
    memory(&meter);
    let runtime = Handle::current().metrics();
    let alive = RuntimeMetrics::num_alive_tasks;
    tasks(&meter, &RUNTIME_TASKS, &runtime, alive);
    let queued = RuntimeMetrics::global_queue_depth;
    tasks(&meter, &RUNTIME_QUEUE, &runtime, queued);
    busy(&meter, runtime);
}

fn cpu(meter: &Meter) {
    let modes = ["user", "system"].map(|mode| [KeyValue::new("cpu.mode", mode)]);
    meter
        .f64_observable_counter(PROCESS_CPU_TIME.name)
        .with_unit(PROCESS_CPU_TIME.unit)
        .with_description(PROCESS_CPU_TIME.description)
        .with_callback(move |observer| {
            if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
                for (mode, time) in modes.iter().zip([usage.user_time(), usage.system_time()]) {
                    observer.observe(seconds(time), mode);
                }
            }
        })
        .build();
}

#[expect(
    clippy::cast_precision_loss,
    reason = "of 50 bits of seconds nothing is lost"
)]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

fn memory(meter: &Meter) {
    meter
        .i64_observable_up_down_counter(PROCESS_MEMORY_USAGE.name)
        .with_unit(PROCESS_MEMORY_USAGE.unit)
        .with_description(PROCESS_MEMORY_USAGE.description)
        .with_callback(|observer| {
            if let Some(bytes) = resident() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

/// Not of `getrusage`, which knows the greatest only.
fn resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn tasks(
    meter: &Meter,
    metric: &Metric,
    runtime: &RuntimeMetrics,
    count: fn(&RuntimeMetrics) -> usize,
) {
    let runtime = runtime.clone();
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |observer| observer.observe(count(&runtime) as u64, &[]))
        .build();
}

fn busy(meter: &Meter, runtime: RuntimeMetrics) {
    meter
        .f64_observable_counter(RUNTIME_BUSY.name)
        .with_unit(RUNTIME_BUSY.unit)
        .with_description(RUNTIME_BUSY.description)
        .with_callback(move |observer| {
            let workers = 0..runtime.num_workers();
            let busy: Duration = workers.map(|w| runtime.worker_total_busy_duration(w)).sum();
            observer.observe(busy.as_secs_f64(), &[]);
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_holds_in_memory() {
        if cfg!(target_os = "linux") {
            let bytes = resident().expect("Linux says so");
            assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
        }
    }
}
