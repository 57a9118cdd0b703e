//! The spans that a shop's processes exported, to be looked at.

use crate::{collector::Collector, open_with};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use prost::Message as _;
use proto::reception::v1::Order;
use shop::{
    harness::{Options, Shop},
    services::Service,
};
use std::collections::HashSet;
use telemetry::semconv;

/// A span, and who exported it.
#[derive(Clone, Debug)]
pub struct Exported {
    pub service: String,
    /// Without what makes the topics of a test its own.
    pub name: String,
    pub span: Span,
}

/// A shop of processes that export to a collector.
pub async fn open(collector: &Collector, options: Options) -> Shop {
    let mut options = Options {
        processes: true,
        ..options
    };
    for service in Service::ALL {
        options = options.with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    }
    open_with(options).await
}

/// All that a shop exported. Its services are stopped for it: what they held back is out then.
pub async fn exported(shop: &Shop, collector: &Collector) -> Vec<Exported> {
    for service in Service::ALL {
        shop.service(service).stop().await.expect("it ends well");
    }
    let exports = collector.spans();
    let exports = exports.iter().map(|export| {
        ExportTraceServiceRequest::decode(export.as_slice()).expect("it was one when it came")
    });
    let resources = exports.flat_map(|export| export.resource_spans);
    resources
        .flat_map(|spans| of_process(shop, spans))
        .collect()
}

fn of_process(shop: &Shop, spans: ResourceSpans) -> Vec<Exported> {
    let resource = spans.resource.map(|resource| resource.attributes);
    let service = text(&resource.unwrap_or_default(), "service.name").unwrap_or_default();
    let scopes = spans.scope_spans.into_iter();
    let exported = scopes.flat_map(|scope| scope.spans).map(|span| Exported {
        service: service.clone(),
        name: span.name.replace(&format!(".{}", shop.name), ""),
        span,
    });
    exported.collect()
}

/// The spans of the trace that an order began.
pub fn trace_of(order: &Order, all: &[Exported]) -> Vec<Exported> {
    let place = all.iter().find(|exported| {
        exported.name.ends_with("/PlaceOrder")
            && exported.attribute(semconv::ORDER_ID).as_deref() == Some(&order.order_id)
    });
    let trace_id = &place.expect("its PlaceOrder was exported").span.trace_id;
    let of = all
        .iter()
        .filter(|exported| exported.span.trace_id == *trace_id);
    of.cloned().collect()
}

/// Whether every span but one hangs below another one.
pub fn is_one_tree(trace: &[Exported]) -> bool {
    let ids: HashSet<&[u8]> = trace
        .iter()
        .map(|one| one.span.span_id.as_slice())
        .collect();
    let parentless = trace
        .iter()
        .filter(|one| !ids.contains(one.span.parent_span_id.as_slice()));
    parentless.count() == 1
}

impl Exported {
    /// An attribute that is text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }

    /// Whether it is linked to one of these.
    pub fn is_linked_to(&self, others: &[Exported]) -> bool {
        let mut links = self.span.links.iter();
        links.any(|link| {
            others
                .iter()
                .any(|other| other.span.span_id == link.span_id)
        })
    }
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
