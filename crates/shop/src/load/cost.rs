//! CPU and memory of the parts.
//!
//! A part is its process and that one's children, which matters for Postgres: its backends do the
//! work. Memory is the proportional share (PSS) where the kernel tells it, so that pages shared by
//! backends count once.

use std::fs;

use serde::Serialize;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::{part::Part, state::State};

/// What a part has used.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// "reception".
    pub(crate) part: String,
    /// CPU seconds during the run.
    pub(crate) cpu_seconds: f64,
    /// Resident at its end.
    pub(crate) memory_mib: f64,
}

/// Reads the parts' use at its beginning and its end.
pub(crate) struct Meter {
    parts: Vec<(String, Pid)>,
    before: Vec<f64>,
}

impl Meter {
    /// Notes what parts that are ours have used so far, and this process, whatever it is here.
    pub(crate) fn start(state: &State, parts: &[Part], own: &str) -> Self {
        let own = (own.to_owned(), Pid::from_u32(std::process::id()));
        let parts: Vec<_> = parts
            .iter()
            .filter_map(|part| {
                let pid = state.alive(*part)?.identity.pid;
                Some((part.name().to_owned(), Pid::from_u32(pid)))
            })
            .chain([own])
            .collect();
        let system = processes();
        let before = parts
            .iter()
            .map(|(_, pid)| cpu_seconds(&system, *pid))
            .collect();
        Self { parts, before }
    }

    /// What they have used since.
    pub(crate) fn stop(self) -> Vec<Cost> {
        let system = processes();
        let used = self.parts.into_iter().zip(self.before);
        used.map(|((part, pid), before)| Cost {
            part,
            cpu_seconds: cpu_seconds(&system, pid) - before,
            memory_mib: family(&system, pid).map(memory_mib).sum(),
        })
        .collect()
    }
}

fn processes() -> System {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what.without_tasks());
    system
}

fn family(system: &System, parent: Pid) -> impl Iterator<Item = &sysinfo::Process> {
    let belongs = move |process: &&sysinfo::Process| {
        process.pid() == parent || process.parent() == Some(parent)
    };
    system.processes().values().filter(belongs)
}

fn cpu_seconds(system: &System, pid: Pid) -> f64 {
    let millis: u64 = family(system, pid)
        .map(sysinfo::Process::accumulated_cpu_time)
        .sum();
    std::time::Duration::from_millis(millis).as_secs_f64()
}

fn memory_mib(process: &sysinfo::Process) -> f64 {
    let kib = proportional_kib(process.pid()).unwrap_or(process.memory() / 1024);
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// Linux tells it, and only to the process's owner and root.
fn proportional_kib(pid: Pid) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
