//! What a row needs to count as noticed.

use ::planted::Bug;

use super::{ABSORBED, Caught, DONE, Report, Row, judged};
use crate::drill::{
    Settings, catalog,
    notes::{Bite, Fault},
};

#[test]
fn a_red_drill_has_noticed_only_what_the_row_names() {
    let row = row(Caught::Red(&["charged more than once"]));
    let mut red = broken();
    red.failures = vec!["the books: charged more than once (2 keys)".to_owned()];
    assert!(judged(&row, &red, &broken()).noticed);

    red.failures = vec!["waited 60 s for customers".to_owned()];
    assert!(!judged(&row, &red, &broken()).noticed);
    assert!(!judged(&row, &broken(), &broken()).noticed);
}

#[test]
fn a_green_drill_has_noticed_if_another_layer_was_met() {
    let count = "duplicates";
    let row = row(Caught::By { layer: "it", count });
    assert!(!judged(&row, &broken(), &broken()).noticed);

    let mut met = broken();
    met.counters.insert(count.to_owned(), 1);
    assert!(judged(&row, &met, &broken()).noticed);
}

#[test]
fn events_handled_again_are_those_beyond_what_was_published() {
    let row = row(Caught::Again { layer: "it" });
    let handled = |done, absorbed| {
        let mut report = broken();
        report.figures.published = Some(100);
        let counters = [(DONE, done), (ABSORBED, absorbed)];
        report.counters = counters
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        report
    };
    assert!(!judged(&row, &handled(60, 40), &handled(60, 40)).noticed);
    assert!(judged(&row, &handled(60, 70), &handled(60, 40)).noticed);
}

#[test]
fn what_is_red_by_itself_or_was_never_broken_proves_nothing() {
    let row = row(Caught::Red(&["lost"]));
    let mut red = broken();
    red.failures = vec!["lost".to_owned()];
    assert!(!judged(&row, &red, &red).noticed);

    red.noted.faults.clear();
    assert!(!judged(&row, &red, &broken()).noticed);
}

fn row(caught: Caught) -> Row {
    Row {
        bugs: &[Bug::NoInbox],
        drill: catalog::DRILLS[0].name,
        caught,
    }
}

/// A green report of a drill whose fault was met.
fn broken() -> Report {
    let settings = Settings {
        seed: 1,
        seconds: 5,
        rate: 1,
        faketime: None,
        json: None,
        html: None,
    };
    let none = anyhow::anyhow!("nothing yet");
    let mut report = Report::not_run(&catalog::DRILLS[0], &settings, &none);
    report.failures.clear();
    report.noted.faults.push(Fault {
        kind: "Kafka stopped".to_owned(),
        from_us: 1,
        healing_us: Some(2),
        until_us: Some(3),
    });
    report.noted.bites.push(Bite {
        what: "calls".to_owned(),
        count: 1,
    });
    report
}
