//! One dead letter, with all that it holds.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::{barista::v1::TicketEvent, operations::v1::DeadLetter, reception::v1::OrderEvent};

use super::{
    id::Id,
    table,
    text::{age, clean, clean_lines, hex, or_dash, time},
};

/// More bytes of what is not understood help nobody; `--json` has all of them.
const HEX_BYTES: usize = 512;

pub(super) fn print(id: Id, letter: &DeadLetter) {
    let bold = anstyle::Style::new().bold();
    anstream::println!("{bold}{id}{bold:#}  {}", clean(&letter.reason));
    let parked = letter.create_time.as_ref();
    let kafka = letter.kafka_time.as_ref();
    field(
        "parked",
        &format!(
            "{} ({} ago) by {}",
            time(parked),
            age(parked),
            letter.consumer
        ),
    );
    field("from", &table::origin(letter));
    field("stored there", &time(kafka));
    field(
        "event",
        &format!("{} {}", or_dash(&letter.event_type), letter.event_id),
    );
    field("order", or_dash(&letter.order_id));
    field("trace", or_dash(&letter.trace_id));
    let headers: BTreeMap<_, _> = letter.headers.iter().collect();
    for (name, value) in headers {
        field("header", &format!("{name}: {value}"));
    }
    field("key", &key(&letter.key));
    field("payload", &format!("{} bytes", letter.payload.len()));
    let payload = understood(letter).unwrap_or_else(|| dump(&letter.payload));
    for line in payload.lines() {
        anstream::println!("    {}", clean(line));
    }
    anstream::println!();
    anstream::println!("  shop dlq replay {id}                handle it once more");
    anstream::println!(
        "  shop dlq drop {id} --reason TEXT    give it up; its order may end FAILED"
    );
}

fn field(name: &str, value: &str) {
    anstream::println!("  {name:<14}{}", clean(value.trim_end()));
}

fn key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => or_dash(text).to_owned(),
        Err(_) => hex(key),
    }
}

/// The message, if it is one of ours: by the name of its case, or else by its topic.
pub(super) fn understood(letter: &DeadLetter) -> Option<String> {
    let payload = letter.payload.as_slice();
    if payload.is_empty() {
        return None;
    }
    let says = |package: &str, topic: &str| {
        letter.event_type.starts_with(package)
            || letter.event_type.is_empty() && letter.topic.starts_with(topic)
    };
    if says("coffeeshop.reception.v1.", proto::ORDERS_TOPIC) {
        let event = OrderEvent::decode(payload).ok()?;
        return Some(format!("{event:#?}"));
    }
    if says("coffeeshop.barista.v1.", proto::TICKETS_TOPIC) {
        let event = TicketEvent::decode(payload).ok()?;
        return Some(format!("{event:#?}"));
    }
    None
}

/// Sixteen bytes a line, as numbers and as text.
fn dump(payload: &[u8]) -> String {
    let shown = &payload[..payload.len().min(HEX_BYTES)];
    let mut lines: Vec<String> = shown.chunks(16).map(dump_line).collect();
    if shown.len() < payload.len() {
        lines.push(format!(
            "and {} bytes more: see --json",
            payload.len() - shown.len()
        ));
    }
    clean_lines(&lines.join("\n"))
}

fn dump_line(bytes: &[u8]) -> String {
    let text = bytes.iter().map(|byte| match byte {
        0x20..=0x7e => char::from(*byte),
        _ => '.',
    });
    format!("{:<32}  {}", hex(bytes), text.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event_type: &str, topic: &str, payload: Vec<u8>) -> DeadLetter {
        DeadLetter {
            event_type: event_type.to_owned(),
            topic: topic.to_owned(),
            payload,
            ..DeadLetter::default()
        }
    }

    #[test]
    fn our_own_events_are_shown_by_their_fields() {
        let event = OrderEvent {
            order_id: "7".into(),
            revision: 2,
            ..OrderEvent::default()
        };
        let payload = event.encode_to_vec();
        let paid = letter("coffeeshop.reception.v1.OrderPaid", "any", payload.clone());
        assert!(understood(&paid).is_some_and(|text| text.contains("revision: 2")));
        let nameless = letter("", "orders.v1", payload);
        assert!(understood(&nameless).is_some());
    }

    #[test]
    fn what_is_not_understood_is_shown_as_it_is() {
        for odd in [
            letter("", "orders.v1", b"\xff not an event".to_vec()),
            letter("other.Event", "orders.v1", Vec::new()),
        ] {
            assert_eq!(understood(&odd), None);
        }
        assert_eq!(dump(b"\xffA"), format!("{:<32}  .A", "ff41"));
        assert!(dump(&[0; HEX_BYTES + 3]).ends_with("and 3 bytes more: see --json"));
    }
}
