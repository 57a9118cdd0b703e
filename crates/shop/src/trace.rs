//! `shop trace`: where an order spent its time, drawn from the spans of all services.
//!
//! Which trace is the order's, and whether it was recorded at all, is in the order's row; the spans
//! are in the files of the shop's own receiver. What is not to be found there has one of a few
//! reasons, each with something to do about it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    books,
    dir::ShopDir,
    receiver::files,
    state::{State, Telemetry},
    traces::{Span, TraceId, Tree},
};

/// For scripts.
mod json;
/// For people.
mod waterfall;

pub(crate) use waterfall::label;

/// Services send what has ended about once a second, and the receiver writes at once.
const ON_THE_WAY: Duration = Duration::from_millis(1500);

/// Which trace, and how to show it.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The id of an order, as `shop order` prints it, or of a trace, as logs hold it.
    #[arg(value_name = "ORDER")]
    which: String,
    /// Show what happened within the spans, too.
    #[arg(long)]
    events: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// An order as far as its trace is concerned.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Order {
    order_id: Uuid,
    state: String,
    traceparent: Option<String>,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

/// All that is known of a trace.
struct Found {
    order: Option<Order>,
    trace_id: TraceId,
    tree: Tree,
    /// Spans of other traces that came about by this one: a customer's later calls.
    linked: Vec<Span>,
}

/// Draws the trace.
pub async fn run(options: Options, dir: ShopDir) -> Result<()> {
    let found = find(&options.which, &dir).await?;
    match options.json {
        true => anstream::println!("{}", json::text(&found)?),
        false => waterfall::print(&found, options.events),
    }
    Ok(())
}

async fn find(which: &str, dir: &ShopDir) -> Result<Found> {
    let state = State::load(dir)?;
    let (order, trace_id) = match TraceId::parse(which) {
        Some(trace_id) => (None, trace_id),
        None => {
            let order = order(which, &books::command::ledgers(dir)?.reception).await?;
            let trace_id = recorded(&order, &state)?;
            (Some(order), trace_id)
        }
    };
    if let Telemetry::Elsewhere(url) = &state.telemetry {
        bail!(
            "the shop sends its spans to {url}: look there for trace {trace_id}.\n\
             To see them here: `shop down`, then `shop up` without --otlp and OTEL_EXPORTER_OTLP_ENDPOINT."
        );
    }
    if let Some(order) = &order {
        arrived(order).await;
    }
    let (tree, linked) = read(&dir.spans(), &trace_id)?;
    if tree.spans().is_empty() {
        bail!("{}", nothing_here(&trace_id, &state));
    }
    Ok(Found {
        order,
        trace_id,
        tree,
        linked,
    })
}

async fn order(which: &str, reception: &PgPool) -> Result<Order> {
    let Ok(order_id) = which.parse::<Uuid>() else {
        bail!("{which:?} is no order id. It is what `shop order` prints.");
    };
    let order = sqlx::query_as(
        "select order_id, state, traceparent, create_time, update_time from orders \
         where order_id = $1",
    );
    let order = order.bind(order_id).fetch_optional(reception).await.context(
        "reception's database does not answer, so nobody knows the order's trace; is the shop open? \
         `shop status`. The trace's id, which is in the logs, will do instead",
    )?;
    order.with_context(|| {
        format!("there is no order {order_id} in this shop. The id is what `shop order` prints.")
    })
}

/// The order's trace, if it was recorded. Its row holds the W3C context: version, trace, span, flags.
fn recorded(order: &Order, state: &State) -> Result<TraceId> {
    let context = order.traceparent.as_deref().unwrap_or_default();
    let parts: Vec<&str> = context.split('-').collect();
    let [_, trace_id, _, flags] = parts[..] else {
        bail!(
            "order {} was not traced: telemetry was off when it was placed.\n\
             `shop up --trace-ratio 1` traces all that come.",
            order.order_id,
        );
    };
    if !u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1) {
        bail!(
            "order {} was not traced: only {} are.\n\
             `shop up --trace-ratio 1` traces all that come.",
            order.order_id,
            match state.trace_ratio {
                Some(ratio) => format!("{} % of the orders", 100.0 * ratio),
                None => "some orders, as OTEL_TRACES_SAMPLER says,".to_owned(),
            },
        );
    }
    TraceId::parse(trace_id).with_context(|| format!("the order's row holds no trace: {context:?}"))
}

/// Waits until what the services did for the order last is here.
async fn arrived(order: &Order) {
    let age = Utc::now().signed_duration_since(order.update_time);
    let age = age.to_std().unwrap_or_default();
    sleep(ON_THE_WAY.saturating_sub(age)).await;
}

/// The trace, and what is linked to it.
fn read(folder: &Path, trace: &TraceId) -> Result<(Tree, Vec<Span>)> {
    let (mut own, mut linked) = (Vec::new(), Vec::new());
    files::read(folder, |export| {
        for span in Span::all(export) {
            match span {
                span if span.trace_id == *trace => own.push(span),
                span if span.is_linked_to(trace) => linked.push(span),
                _ => {}
            }
        }
    })?;
    linked.sort_by_key(|span| span.start_unix_ns);
    Ok((Tree::new(own), linked))
}

fn nothing_here(trace_id: &TraceId, state: &State) -> String {
    let why = match state.telemetry {
        Telemetry::Off => {
            "The shop was opened with --no-telemetry; `shop up --trace-ratio 1` traces all that come."
        }
        _ => {
            "Spans are kept until there are 64 MiB of newer ones. If this one is new: is telemetry \
             ready? `shop status`, `shop logs telemetry`."
        }
    };
    format!("there is no span of trace {trace_id} here.\n{why}")
}
