use super::*;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Config {
    #[command(flatten)]
    housekeeping: Options,
    #[command(flatten)]
    kafka: kafka::Options,
}

fn remembers(args: &str) -> anyhow::Result<String> {
    let config = Config::try_parse_from(format!("shop {args}").split_whitespace())?;
    let retention = config.housekeeping.inbox_retention(&config.kafka)?;
    Ok(format_duration(retention).to_string())
}

#[test]
fn the_inbox_remembers_for_longer_than_kafka_delivers() {
    let remembers = |args| remembers(args).expect("it is possible");
    assert_eq!(remembers(""), "15days");
    assert_eq!(remembers("--topic-retention 1h"), "8days 1h");
    assert_eq!(remembers("--inbox-retention 8days"), "8days");
}

#[test]
fn what_cannot_work_is_refused_with_the_consequence() {
    for (args, consequence) in [
        (
            "--inbox-retention 7days",
            "parked as a dead letter, not handled",
        ),
        (
            "--inbox-retention 15days --topic-retention 30days",
            "parked as a dead letter, not handled",
        ),
        (
            "--outbox-retention 1s",
            "could still write into a partition that leaves",
        ),
        ("--outbox-retention 1year", "too many partitions"),
    ] {
        let refused = remembers(args).expect_err(args).to_string();
        assert!(refused.contains(consequence), "{args}: {refused}");
    }
}

#[test]
fn kafka_may_keep_a_message_for_ever() {
    let complaint = too_short(Duration::from_secs(3600), None);
    assert!(complaint.is_some_and(|complaint| complaint.contains("may keep it for ever")));
}
