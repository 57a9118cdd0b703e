//! For programs.

use std::collections::BTreeMap;

use anyhow::Result;
use proto::operations::v1::DeadLetter;
use serde::Serialize;

use super::{
    id::Id,
    show,
    text::{hex, time},
};
use crate::part::Part;

/// A dead letter. Bytes are hexadecimal; what a list leaves out is empty.
#[derive(Serialize)]
struct Row<'a> {
    id: String,
    create_time: String,
    consumer: &'a str,
    topic: &'a str,
    partition: Option<i32>,
    offset: Option<i64>,
    kafka_time: Option<String>,
    event_id: &'a str,
    event_type: &'a str,
    order_id: &'a str,
    trace_id: &'a str,
    reason: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    key_hex: String,
    payload_hex: String,
    /// The fields of the payload, if it is one of our messages.
    payload_text: Option<String>,
}

pub(super) fn print(letters: &[(Part, DeadLetter)]) -> Result<()> {
    let rows: Vec<Row<'_>> = letters.iter().map(|(keeper, l)| row(*keeper, l)).collect();
    anstream::println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}

fn row(keeper: Part, letter: &DeadLetter) -> Row<'_> {
    let id = Id {
        keeper,
        dead_letter_id: letter.dead_letter_id,
    };
    let headers = letter.headers.iter();
    Row {
        id: id.to_string(),
        create_time: time(letter.create_time.as_ref()),
        consumer: &letter.consumer,
        topic: &letter.topic,
        partition: letter.partition,
        offset: letter.offset,
        kafka_time: letter.kafka_time.as_ref().map(|at| time(Some(at))),
        event_id: &letter.event_id,
        event_type: &letter.event_type,
        order_id: &letter.order_id,
        trace_id: &letter.trace_id,
        reason: &letter.reason,
        headers: headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        key_hex: hex(&letter.key),
        payload_hex: hex(&letter.payload),
        payload_text: show::understood(letter),
    }
}
