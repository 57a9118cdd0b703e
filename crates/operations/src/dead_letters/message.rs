//! Messages of `DeadLettersService`, to and from the domain.

use messaging::dead_letters::{Consequence, DeadLetter};
use proto::operations::v1::{self as wire, DropConsequence};
use rpc::{page, status::Violations, validate};
use std::time::{Duration, SystemTime};
use tonic::Status;
use uuid::Uuid;

/// Long enough for a sentence.
const MAX_REASON_CHARS: usize = 200;

/// A part of the list.
pub(super) struct Page {
    /// Only those about this order.
    pub(super) order_id: Option<Uuid>,
    /// The last one of the page before.
    pub(super) after: Option<i64>,
    size: i64,
}

impl Page {
    /// One more than the page has tells whether another follows.
    pub(super) fn limit(&self) -> i64 {
        self.size + 1
    }

    /// The call and its filter.
    fn list(order_id: &str) -> String {
        format!("ListDeadLetters order_id={order_id}")
    }
}

pub(super) fn list(request: &wire::ListDeadLettersRequest) -> Result<Page, Status> {
    let mut violations = Violations::new();
    let order_id = match request.order_id.as_str() {
        "" => None,
        id => validate::uuid(&mut violations, "order_id", id),
    };
    let token = &request.page_token;
    let after = page::decode(&Page::list(&request.order_id), token);
    let after = after.and_then(|key| key.parse().ok());
    if after.is_none() && !token.is_empty() {
        violations.add("page_token", "must be the next_page_token of this list");
    }
    let size = page::size(request.page_size).unwrap_or_else(|| {
        violations.add("page_size", "must not be negative");
        0
    });
    violations.into_result()?;
    Ok(Page {
        order_id,
        after,
        size,
    })
}

pub(super) fn id(dead_letter_id: i64) -> Result<i64, Status> {
    let mut violations = Violations::new();
    check_id(&mut violations, dead_letter_id);
    violations.into_result()?;
    Ok(dead_letter_id)
}

pub(super) fn drop(request: wire::DropDeadLetterRequest) -> Result<(i64, String), Status> {
    let mut violations = Violations::new();
    check_id(&mut violations, request.dead_letter_id);
    let reason = request.reason;
    validate::text(&mut violations, "reason", &reason, MAX_REASON_CHARS, true);
    violations.into_result()?;
    Ok((request.dead_letter_id, reason))
}

fn check_id(violations: &mut Violations, dead_letter_id: i64) {
    if dead_letter_id < 1 {
        violations.add("dead_letter_id", "must be the id of a dead letter");
    }
}

/// The response, from the rows that were read.
pub(super) fn listed(mut letters: Vec<DeadLetter>, page: &Page) -> wire::ListDeadLettersResponse {
    let size = usize::try_from(page.size).unwrap_or_default();
    let is_last = letters.len() <= size;
    letters.truncate(size);
    let order_id = page.order_id.map(|id| id.to_string()).unwrap_or_default();
    let next_page_token = match letters.last() {
        Some(last) if !is_last => {
            page::encode(&Page::list(&order_id), &last.dead_letter_id.to_string())
        }
        _ => String::new(),
    };
    wire::ListDeadLettersResponse {
        dead_letters: letters.iter().map(outline).collect(),
        next_page_token,
    }
}

/// With all that its sender put into it.
pub(super) fn whole(letter: DeadLetter) -> wire::DeadLetter {
    let outline = outline(&letter);
    wire::DeadLetter {
        headers: letter.headers.0.into_iter().collect(),
        key: letter.key.unwrap_or_default(),
        payload: letter.payload.unwrap_or_default(),
        ..outline
    }
}

fn outline(letter: &DeadLetter) -> wire::DeadLetter {
    let header = |name| letter.headers.get(name).cloned().unwrap_or_default();
    let order_id = letter.order_id().map(|id| id.to_string());
    let event_id = letter.event_id.map(|id| id.to_string());
    let traceparent = header("traceparent");
    wire::DeadLetter {
        dead_letter_id: letter.dead_letter_id,
        consumer: letter.consumer.clone(),
        topic: letter.topic.clone(),
        partition: letter.kafka_partition,
        offset: letter.kafka_offset,
        kafka_time: letter.kafka_time_ms.and_then(time_ms),
        event_id: event_id.unwrap_or_default(),
        event_type: header("ce_type"),
        order_id: order_id.unwrap_or_default(),
        reason: letter.reason.clone(),
        create_time: Some(SystemTime::from(letter.create_time).into()),
        trace_id: trace_id(&traceparent).unwrap_or_default(),
        traceparent,
        ..wire::DeadLetter::default()
    }
}

/// Kafka's time; it has none where it says -1.
fn time_ms(time_ms: i64) -> Option<prost_types::Timestamp> {
    let since_1970 = Duration::from_millis(u64::try_from(time_ms).ok()?);
    Some(SystemTime::UNIX_EPOCH.checked_add(since_1970)?.into())
}

/// `version-trace_id-span_id-flags`.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    let good = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| id.to_owned())
}

pub(super) fn dropped(consequence: Consequence) -> wire::DropDeadLetterResponse {
    let (consequence, detail) = match consequence {
        Consequence::OrderFails(detail) => (DropConsequence::OrderFails, detail),
        Consequence::Unaffected(detail) => (DropConsequence::OrderUnaffected, detail),
        Consequence::MayWait(detail) => (DropConsequence::OrderMayWait, detail),
    };
    wire::DropDeadLetterResponse {
        consequence: consequence.into(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leads_to_the_next_one_of_the_same_order_only() {
        let order_id = "01a1fde8-b906-731b-8abd-7f448e2ef631";
        let request = |order_id: &str, page_token: String| wire::ListDeadLettersRequest {
            page_size: 2,
            page_token,
            order_id: order_id.to_owned(),
        };
        let token = page::encode(&Page::list(order_id), "7");
        let page = list(&request(order_id, token.clone())).expect("it is our own token");
        assert_eq!((page.after, page.limit()), (Some(7), 3));
        assert!(list(&request("", token)).is_err());
        assert!(list(&request("7", String::new())).is_err());
    }

    #[test]
    fn a_drop_needs_an_id_and_a_reason() {
        let refused = |dead_letter_id, reason: &str| {
            let reason = reason.to_owned();
            let request = wire::DropDeadLetterRequest {
                dead_letter_id,
                reason,
            };
            drop(request)
                .err()
                .map(|status| status.message().to_owned())
        };
        assert_eq!(refused(1, "no milk"), None);
        assert_eq!(refused(0, "").as_deref(), Some("2 violations"));
        assert_eq!(
            refused(1, "a\nb").as_deref(),
            Some("reason: must not contain control characters")
        );
    }

    #[test]
    fn the_trace_is_named_only_if_it_is_one() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let found = trace_id(&format!("00-{id}-b7ad6b7169203331-01"));
        assert_eq!(found.as_deref(), Some(id));
        assert_eq!(trace_id("00-xyz-1-01"), None);
        assert_eq!(trace_id(""), None);
    }

    #[test]
    fn a_message_that_kafka_gave_no_time_has_none() {
        assert_eq!(time_ms(-1), None);
        assert_eq!(time_ms(1_500).map(|time| time.seconds), Some(1));
    }
}
