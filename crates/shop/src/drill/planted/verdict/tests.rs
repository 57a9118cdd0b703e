//! What a row needs to count as noticed.

use ::planted::Bug;

use super::{Caught, DUPLICATES, Report, Row, judged};
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
fn events_that_came_again_and_were_not_known_met_another_layer() {
    let row = row(Caught::Again { layer: "it" });
    let consumed = |done, duplicates| {
        let mut report = broken();
        report.figures.published = Some(100);
        let counters = [("coffeeshop.inbox.done", done), (DUPLICATES, duplicates)];
        report.counters = counters
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        report
    };
    let sound = consumed(100, 30);
    assert!(judged(&row, &consumed(130, 0), &sound).noticed);
    assert!(!judged(&row, &consumed(100, 0), &sound).noticed);
    assert!(!judged(&row, &consumed(100, 30), &sound).noticed);
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
