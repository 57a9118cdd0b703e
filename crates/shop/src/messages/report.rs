//! The figures, for people and for programs.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::writing::{TOGETHER, paid};
use crate::load::cost::Cost;

/// What this process is called among the parts: it appends, publishes and handles.
pub(super) const OWN: &str = "this process";

/// What all runs have shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    messages: u64,
    payload_bytes: usize,
    /// Of one transaction.
    appended_together: u64,
    runs: Vec<Run>,
}

/// What one run has shown.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    relays: u16,
    /// While events were appended, and published beside that.
    appended_per_second: f64,
    /// From the first append to the last message handled.
    handled_per_second: f64,
    cost: Vec<Cost>,
    /// All parts, and this process.
    cpu_seconds_per_1000_messages: f64,
}

impl Run {
    pub(super) fn new(
        relays: u16,
        messages: u64,
        appending: Duration,
        handling: Duration,
        cost: Vec<Cost>,
    ) -> Self {
        let cpu: f64 = cost.iter().map(|cost| cost.cpu_seconds).sum();
        Self {
            relays,
            appended_per_second: float(messages) / appending.as_secs_f64(),
            handled_per_second: float(messages) / handling.as_secs_f64(),
            cost,
            cpu_seconds_per_1000_messages: 1_000.0 * cpu / float(messages),
        }
    }
}

impl Report {
    pub(super) fn new(messages: u64, runs: Vec<Run>) -> Self {
        Self {
            messages,
            payload_bytes: paid().payload.len(),
            appended_together: TOGETHER,
            runs,
        }
    }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes, together) =
            (self.messages, self.payload_bytes, self.appended_together);
        writeln!(
            f,
            "{messages} messages of {bytes} bytes, appended in transactions of {together}"
        )?;
        for run in &self.runs {
            self.run(run, f)?;
        }
        let green = anstyle::AnsiColor::Green.on_default();
        write!(
            f,
            "\n{green}✔{green:#} each of {messages} messages was handled once, in each run"
        )
    }
}

impl Report {
    fn run(&self, run: &Run, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (appended, handled) = (run.appended_per_second, run.handled_per_second);
        writeln!(f, "\n{:<28}{:>10}", "relays", run.relays)?;
        writeln!(f, "{:<28}{appended:>10.0} /s", "appended")?;
        writeln!(f, "{:<28}{handled:>10.0} /s", "appended to handled")?;
        writeln!(
            f,
            "{:<16}{:>10}{:>22}",
            "part", "CPU s", "CPU s/1,000 messages"
        )?;
        for cost in &run.cost {
            let (part, cpu) = (&cost.part, cost.cpu_seconds);
            let per = 1_000.0 * cpu / float(self.messages);
            writeln!(f, "{part:<16}{cpu:>10.2}{per:>22.3}")?;
        }
        let per = run.cpu_seconds_per_1000_messages;
        writeln!(f, "{:<16}{:>10}{per:>22.3}", "in all", "")
    }
}
