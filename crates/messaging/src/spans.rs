//! The spans of messages: one order is one trace, also across a broker that is away.
//!
//! Problem: a batch has no parent. Its events are of as many traces as orders, and a span that
//! took one of them as its parent would lie about the others.
//! So an event that drives the next step of its order has spans of its own, in its order's trace:
//! `create` when it is decided, whose context travels; `send`, which begins when the row was
//! written and so shows the whole wait; `process` at whoever acts on it. A batch is a trace of its
//! own, with links. All other events have none: their context only travels.
//!
//! Not guaranteed: one each. A transaction that is rolled back leaves a `create` behind, a
//! crash sends again, and a redelivery is processed again, as `duplicate`.

use crate::{
    event::Event,
    inbox::{Message, Received},
    relay::Row,
};
use opentelemetry::{KeyValue, trace::SpanKind};
use rdkafka::error::KafkaError;
use std::sync::{Mutex, PoisonError};
use telemetry::{
    propagation::TraceContext,
    semconv::{self, outcome, span},
    spans::{self, Open},
};
use tracing::Span;
use uuid::Uuid;

/// Which events drive the next step of their order, by their type.
pub type Steps = fn(&str) -> bool;

/// Says that an event was decided. Returns the context that is to travel.
pub(crate) fn create(event: &Event, topic: &str) -> Option<TraceContext> {
    let create = spans::child(&event.trace, format_args!("{} {topic}", span::CREATE))?;
    let mut attributes = operation(span::CREATE, "create", topic);
    attributes.extend(about(event.event_id, event.event_type, event.order_id));
    let create = create.kind(SpanKind::Producer).with(attributes).open();
    Some(create.context())
}

/// A batch of a relay, while it is under way.
pub(crate) struct Sending<'a> {
    topic: &'a str,
    /// Events that drive a step, by their place in the batch.
    steps: Vec<(usize, TraceContext)>,
    batch: Option<Open>,
}

impl<'a> Sending<'a> {
    /// Nothing, where nobody would see it.
    pub(crate) fn begin(topic: &'a str, steps: Steps, rows: &[Row]) -> Self {
        let mut sending = Self {
            topic,
            steps: Vec::new(),
            batch: None,
        };
        if spans::recorded() {
            let rows = rows.iter().enumerate();
            let rows = rows.filter(|(_, row)| steps(&row.event_type));
            sending.steps = rows.map(|(place, row)| (place, row.trace())).collect();
            sending.steps.retain(|(_, trace)| trace.is_sampled());
            sending.batch = sending.open();
        }
        sending
    }

    fn open(&self) -> Option<Open> {
        let links = self.steps.iter().map(|(_, trace)| trace);
        batch(
            span::SEND_BATCH,
            "send",
            self.topic,
            SpanKind::Client,
            self.steps.len(),
            links,
        )
    }

    /// Ends it with Kafka's answers. What was not taken is sent again, and has no span until
    /// it is, or never will be.
    pub(crate) fn end(
        mut self,
        rows: &[Row],
        acks: &[Result<(), KafkaError>],
        last: fn(&KafkaError) -> bool,
    ) {
        for (place, trace) in &self.steps {
            match &acks[*place] {
                Ok(()) => drop(sent(self.topic, &rows[*place], trace)),
                Err(error) if last(error) => {
                    if let Some(mut send) = sent(self.topic, &rows[*place], trace) {
                        send.fail(word(error));
                    }
                }
                Err(_) => {}
            }
        }
        let failed = acks.iter().find_map(|ack| ack.as_ref().err());
        if let (Some(batch), Some(error)) = (&mut self.batch, failed) {
            batch.fail(word(error));
        }
    }
}

fn sent(topic: &str, row: &Row, trace: &TraceContext) -> Option<Open> {
    let send = spans::child(trace, format_args!("{} {topic}", span::SEND))?;
    let mut attributes = operation(span::SEND, "send", topic);
    attributes.extend(about(row.event_id, &row.event_type, row.order_id));
    let send = send.kind(SpanKind::Client).with(attributes);
    Some(send.begun(row.create_time.into()).open())
}

/// What Kafka calls an error.
fn word(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(code) => format!("{code:?}"),
        None => "_OTHER".to_owned(),
    }
}

/// One message at whoever acts on it, from its arrival until this is dropped.
#[derive(Debug)]
pub(crate) struct Processing {
    span: Open,
    outcome: Mutex<&'static str>,
}

impl Processing {
    /// Of a message that arrived. What is done about it belongs to this span from now on.
    pub(crate) fn begin(message: &mut Message, group: &str) -> Option<Self> {
        let context = message.trace.clone();
        Self::open(span::PROCESS, message, group, &[&context])
    }

    /// Of a dead letter that is handled once more, because somebody asked for it just now.
    pub(crate) fn again(message: &mut Message, consumer: &str) -> Option<Self> {
        let (context, asked) = (message.trace.clone(), TraceContext::of(&Span::current()));
        Self::open(span::REPLAY, message, consumer, &[&context, &asked])
    }

    fn open(
        name: &'static str,
        message: &mut Message,
        group: &str,
        links: &[&TraceContext],
    ) -> Option<Self> {
        let origin = &message.origin;
        let span = spans::child(&message.trace, format_args!("{name} {}", origin.topic))?;
        let mut attributes = operation(name, "process", &origin.topic);
        attributes.extend(about(
            message.event_id,
            &message.event_type,
            message.order_id,
        ));
        attributes.extend([
            KeyValue::new(semconv::MESSAGING_CONSUMER_GROUP_NAME, group.to_owned()),
            KeyValue::new(
                semconv::MESSAGING_DESTINATION_PARTITION_ID,
                origin.partition.to_string(),
            ),
            KeyValue::new(semconv::MESSAGING_KAFKA_OFFSET, origin.offset),
        ]);
        let span = span
            .kind(SpanKind::Consumer)
            .with(attributes)
            .linked(links.iter().copied())
            .open();
        message.trace = span.context();
        let outcome = Mutex::new(outcome::HELD_BACK);
        Some(Self { span, outcome })
    }

    /// What became of the message, as far as is known now: one of `semconv::outcome`.
    pub(crate) fn ends(&self, outcome: &'static str) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

impl Drop for Processing {
    fn drop(&mut self) {
        let outcome = *self
            .outcome
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        self.span.set(semconv::INBOX_OUTCOME, outcome);
    }
}

/// A transaction that handles messages; none if none of them has a span.
pub(crate) fn process_batch<'a>(
    topic: &str,
    messages: usize,
    links: impl Iterator<Item = &'a TraceContext>,
) -> Option<Open> {
    batch(
        span::PROCESS_BATCH,
        "process",
        topic,
        SpanKind::Consumer,
        messages,
        links,
    )
}

fn batch<'a>(
    name: &'static str,
    kind: &'static str,
    topic: &str,
    role: SpanKind,
    messages: usize,
    links: impl Iterator<Item = &'a TraceContext>,
) -> Option<Open> {
    let mut links = links.peekable();
    links.peek()?;
    let batch = spans::root(format_args!("{name} {topic}"))?;
    let mut attributes = operation(name, kind, topic);
    let messages = i64::try_from(messages).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new(
        semconv::MESSAGING_BATCH_MESSAGE_COUNT,
        messages,
    ));
    Some(batch.kind(role).with(attributes).linked(links).open())
}

fn operation(name: &'static str, kind: &'static str, topic: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new(semconv::MESSAGING_SYSTEM, "kafka"),
        KeyValue::new(semconv::MESSAGING_DESTINATION_NAME, topic.to_owned()),
        KeyValue::new(semconv::MESSAGING_OPERATION_NAME, name),
        KeyValue::new(semconv::MESSAGING_OPERATION_TYPE, kind),
    ]
}

fn about(event_id: Uuid, event_type: &str, order_id: Uuid) -> [KeyValue; 4] {
    let order_id = order_id.to_string();
    [
        KeyValue::new(semconv::MESSAGING_MESSAGE_ID, event_id.to_string()),
        KeyValue::new(semconv::CLOUDEVENTS_EVENT_TYPE, event_type.to_owned()),
        KeyValue::new(semconv::MESSAGING_KAFKA_MESSAGE_KEY, order_id.clone()),
        KeyValue::new(semconv::ORDER_ID, order_id),
    ]
}

/// Where a message that may not even be understood belongs to.
pub(crate) fn trace_of(received: &Received) -> TraceContext {
    let header = |name| received.headers.get(name).cloned();
    match &received.message {
        Ok(message) => message.trace.clone(),
        Err(_) => TraceContext {
            traceparent: header("traceparent"),
            tracestate: header("tracestate"),
        },
    }
}
