//! A circuit, on one line.

use prost_types::Timestamp;
use proto::operations::v1::Circuit;

pub(super) const HEAD: [&str; 7] = [
    "circuit",
    "state",
    "since",
    "calls",
    "failures",
    "rejected",
    "next probe",
];
/// Lines are printed one by one as changes come: none knows how wide the next one is.
const WIDTHS: [usize; 7] = [12, 9, 12, 9, 9, 9, 12];

pub(super) fn row(circuit: &Circuit) -> [String; 7] {
    let state = circuit.state().as_str_name();
    [
        circuit.name.clone(),
        state.trim_start_matches("CIRCUIT_STATE_").to_owned(),
        time(circuit.since_time.as_ref()),
        circuit.calls.to_string(),
        circuit.failures.to_string(),
        circuit.rejected.to_string(),
        time(circuit.next_probe_time.as_ref()),
    ]
}

/// Counts to the right, words to the left.
pub(super) fn line(cells: &[String; 7]) -> String {
    let cells = cells.iter().zip(WIDTHS).enumerate();
    let cells = cells.map(|(column, (cell, width))| match column {
        3..=5 => format!("{cell:>width$}"),
        _ => format!("{cell:<width$}"),
    });
    let line: Vec<String> = cells.collect();
    line.join("  ").trim_end().to_owned()
}

/// The time of day, here; `-` if there is none.
fn time(time: Option<&Timestamp>) -> String {
    let nanos = |time: &Timestamp| u32::try_from(time.nanos).unwrap_or_default();
    time.and_then(|time| chrono::DateTime::from_timestamp(time.seconds, nanos(time)))
        .map_or_else(
            || "-".to_owned(),
            |time| {
                let time = time.with_timezone(&chrono::Local);
                time.format("%H:%M:%S%.3f").to_string()
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::operations::v1::CircuitState;

    #[test]
    fn a_circuit_is_a_line_under_its_head() {
        let circuit = Circuit {
            name: "payments".to_owned(),
            state: CircuitState::HalfOpen.into(),
            calls: 12_345,
            failures: 7,
            ..Circuit::default()
        };
        let head = line(&HEAD.map(str::to_owned));
        let line = line(&row(&circuit));
        assert_eq!(head.find("state"), line.find("HALF_OPEN"));
        let end = head.find("failures").map(|at| at + "failures".len());
        assert_eq!(end, line.find('7').map(|at| at + 1));
        assert!(line.ends_with('-'), "no probe is due: {line}");
    }
}
