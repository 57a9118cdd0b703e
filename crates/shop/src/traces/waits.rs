//! Where an order did not move: an event in the outbox or on its topic, a drink without a barista.

use std::time::Duration;

use telemetry::semconv;

use super::{Kind, Row, Span, Tree};

/// A time in which nothing was done for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// "in the outbox"
    pub what: &'static str,
    /// Nanoseconds since 1970.
    pub from_unix_ns: u64,
    /// Nanoseconds since 1970.
    pub until_unix_ns: u64,
}

impl Wait {
    /// How long.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.until_unix_ns.saturating_sub(self.from_unix_ns))
    }
}

/// What each row waited for, if for anything.
pub fn waits(tree: &Tree, rows: &[Row<'_>]) -> Vec<Option<Wait>> {
    rows.iter().map(|row| wait(tree, row.span)).collect()
}

fn wait(tree: &Tree, span: &Span) -> Option<Wait> {
    let parent = tree.get(span.parent.as_ref()?)?;
    // It begins with the event's row and ends when Kafka has it: all of it is a wait.
    if is_sending(span) {
        return Some(Wait {
            what: "in the outbox, for Kafka",
            from_unix_ns: span.start_unix_ns,
            until_unix_ns: span.end_unix_ns,
        });
    }
    let siblings = tree.children(&parent.span_id);
    let (what, from_unix_ns) = match span.kind {
        Kind::Consumer => {
            let sent = siblings.into_iter().find(|sibling| is_sending(sibling));
            (
                "on the topic, for its consumer",
                sent.unwrap_or(parent).end_unix_ns,
            )
        }
        _ if is_taken_over(span) => (
            "until it was taken over from one who was lost",
            parent.end_unix_ns,
        ),
        _ if span.name == semconv::span::BREW => {
            ("in the queue, for a barista", parent.end_unix_ns)
        }
        _ if is_late_charge(span) => ("for the sweeper, to charge", parent.end_unix_ns),
        _ => return None,
    };
    (from_unix_ns < span.start_unix_ns).then_some(Wait {
        what,
        from_unix_ns,
        until_unix_ns: span.start_unix_ns,
    })
}

/// A step's event, not a batch.
fn is_sending(span: &Span) -> bool {
    let operation = span.attributes.get(semconv::MESSAGING_OPERATION_NAME);
    operation.is_some_and(|operation| operation == semconv::span::SEND)
}

/// What else is settled, a refund, was not owed when its parent ended.
fn is_late_charge(span: &Span) -> bool {
    let call = span.attributes.get(semconv::SETTLE_CALL);
    call.is_some_and(|call| call == "charge")
}

/// A drink that somebody had begun before.
pub fn is_taken_over(span: &Span) -> bool {
    let attempt = span.attributes.get(semconv::DRINK_ATTEMPT);
    attempt.is_some_and(|attempt| attempt != "1")
}
