use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("it is a time")
}

fn days(last: Option<&str>, now: &str) -> Vec<String> {
    let missing = missing(last.map(time), time(now));
    let day = |time: DateTime<Utc>| time.format("%d").to_string();
    missing
        .into_iter()
        .map(|days| format!("{}-{}", day(days.start), day(days.end)))
        .collect()
}

#[test]
fn the_days_to_come_are_made_one_by_one() {
    let now = "2026-11-03T13:00:00Z";
    let all = ["03-04", "04-05", "05-06", "06-07", "07-08"];
    assert_eq!(days(None, now), all);
    assert_eq!(days(Some("2026-11-05T00:00:00Z"), now), all[2..]);
    assert!(days(Some("2026-11-08T00:00:00Z"), now).is_empty());
}

#[test]
fn what_was_missed_is_one_partition_and_leaves_no_gap() {
    let missed = days(Some("2026-11-02T00:00:00Z"), "2026-11-16T00:00:00Z");
    assert_eq!(missed, ["02-16", "16-17", "17-18", "18-19", "19-20"]);
}

#[test]
fn a_bound_that_people_have_set_is_followed_by_whole_days() {
    let after = days(Some("2026-11-03T10:30:00Z"), "2026-11-03T09:00:00Z");
    assert_eq!(after, ["03-04", "04-05", "05-06", "06-07", "07-08"]);
}

#[test]
fn a_time_is_read_back_from_its_key_as_postgres_writes_it() {
    let midnight = time("2026-11-23T00:00:00Z");
    assert_eq!(Table::Outbox.time("2026-11-23 00:00:00+00"), Some(midnight));
    assert_eq!(
        Table::Outbox.time("2026-11-23 05:30:00+05:30"),
        Some(midnight)
    );
    assert_eq!(
        Table::Inbox.time(&Table::Inbox.key(midnight)),
        Some(midnight)
    );
    assert_eq!(Table::Outbox.time("infinity"), None);
}
