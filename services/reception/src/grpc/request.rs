//! From the wire to the domain: every violation of a request at once.

use crate::{
    change,
    menu::{Menu, Pricing},
    order::{Cancel, HistoryEntry, Item, Order, OrderId, Payment, Refund, State},
    store::{
        NewOrder,
        read::{Filter, MenuItem},
    },
};
use batching::Batcher;
use chrono::{DateTime, Utc};
use prost::Message as _;
use proto::reception::v1::{self as wire, get_order_request};
use rpc::{page, status::Violations, validate};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use telemetry::propagation::TraceContext;
use tonic::Status;
use uuid::Uuid;

const MAX_NAME_CHARS: usize = 80;
const MAX_TOKEN_CHARS: usize = 200;
const MAX_REASON_CHARS: usize = 200;
const MAX_LINES: usize = 20;
const MAX_QUANTITY: i32 = 20;
const MAX_DRINKS: i64 = 100;
const MAX_TOTAL_MINOR: i64 = 30_000;
/// What reading the menu gets.
const PRICING_PATIENCE: Duration = Duration::from_millis(900);

/// Canonical text of the menu's list, for its page tokens.
pub(super) const MENU_PAGES: &str = "ListMenuItems";

/// A new order, priced from the menu. For the time of `settle_after` the sweeper leaves it to
/// the call that places it.
pub(super) async fn place_order(
    pricing: &Batcher<Pricing>,
    request: &wire::PlaceOrderRequest,
    settle_after: Duration,
) -> Result<NewOrder, Status> {
    let mut violations = Violations::new();
    let request_id = match request.request_id.as_str() {
        "" => Some(Uuid::now_v7()),
        id => validate::uuid(&mut violations, "request_id", id),
    };
    let name = &request.customer_name;
    validate::text(&mut violations, "customer_name", name, MAX_NAME_CHARS, true);
    let token = &request.payment_token;
    validate::visible_ascii(
        &mut violations,
        "payment_token",
        token,
        MAX_TOKEN_CHARS,
        true,
    );
    let items = priced(pricing, &request.items, &mut violations).await?;
    let (
        Some(request_id),
        Some(Priced {
            items,
            currency_code,
            total_minor,
        }),
    ) = (request_id, items)
    else {
        return Err(violations
            .into_result()
            .err()
            .unwrap_or_else(super::error::unexplained));
    };
    violations.into_result()?;
    let request_hash = hash(request);
    let order = new_order(
        request.customer_name.clone(),
        items,
        currency_code,
        total_minor,
    );
    Ok(NewOrder {
        settle_after,
        order,
        request_id,
        request_hash,
        payment_token: request.payment_token.clone(),
        trace: TraceContext::current(),
    })
}

fn new_order(name: String, items: Vec<Item>, currency_code: String, total_minor: i64) -> Order {
    let now = change::now();
    let (state, revision, detail) = (State::AwaitingPayment, 1, "placed".to_owned());
    Order {
        order_id: OrderId(Uuid::now_v7()),
        customer_name: name,
        items,
        currency_code,
        total_minor,
        state,
        revision,
        payment: Payment::Pending,
        refund: Refund::NotNeeded,
        cancel: Cancel::NotRequested,
        create_time: now,
        update_time: now,
        ready_time: None,
        history: vec![HistoryEntry {
            state,
            time: now,
            revision,
            detail,
        }],
    }
}

/// What tells a repeat from another request under the same id.
pub(super) fn hash(request: &wire::PlaceOrderRequest) -> Vec<u8> {
    let body = wire::PlaceOrderRequest {
        request_id: String::new(),
        ..request.clone()
    };
    Sha256::digest(body.encode_to_vec()).to_vec()
}

struct Priced {
    items: Vec<Item>,
    currency_code: String,
    total_minor: i64,
}

/// Prices the lines; none if one of them is wrong.
async fn priced(
    pricing: &Batcher<Pricing>,
    lines: &[wire::PlaceOrderItem],
    violations: &mut Violations,
) -> Result<Option<Priced>, Status> {
    if !(1..=MAX_LINES).contains(&lines.len()) {
        violations.add(
            "items",
            format!("must hold 1 to {MAX_LINES} lines, not {}", lines.len()),
        );
        // A thousand lines are not worth a thousand more violations.
        return Ok(None);
    }
    let drinks: i64 = lines
        .iter()
        .map(|line| i64::from(line.quantity.max(0)))
        .sum();
    if drinks > MAX_DRINKS {
        violations.add(
            "items",
            format!("must hold at most {MAX_DRINKS} drinks in all"),
        );
    }
    let menu = pricing.submit((), PRICING_PATIENCE).await;
    let menu = menu.map_err(|error| super::error::not_committed(&error))?;
    let lines: Vec<Option<(Item, &MenuItem)>> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| price(index, line, &menu, violations))
        .collect();
    Ok(total(lines, violations))
}

fn price<'m>(
    index: usize,
    line: &wire::PlaceOrderItem,
    menu: &'m Menu,
    violations: &mut Violations,
) -> Option<(Item, &'m MenuItem)> {
    let (drink, size) = (line.drink.clone(), line.size.clone());
    let entry = menu.get(&(drink.clone(), size.clone()));
    if entry.is_none() {
        let what = format!(
            "the menu has no {:?} in size {:?}; see ListMenuItems",
            clip(&drink),
            clip(&size)
        );
        violations.add(format!("items[{index}].drink"), what);
    }
    if !(1..=MAX_QUANTITY).contains(&line.quantity) {
        let what = format!("must be 1 to {MAX_QUANTITY}, not {}", line.quantity);
        violations.add(format!("items[{index}].quantity"), what);
        return None;
    }
    let entry = entry?;
    let (quantity, unit_price_minor) = (line.quantity, entry.price_minor);
    Some((
        Item {
            drink,
            size,
            quantity,
            unit_price_minor,
        },
        entry,
    ))
}

/// What a caller sent, short enough to be sent back in an error.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn total(lines: Vec<Option<(Item, &MenuItem)>>, violations: &mut Violations) -> Option<Priced> {
    let lines: Vec<(Item, &MenuItem)> = lines.into_iter().collect::<Option<_>>()?;
    let currency_code = lines.first()?.1.currency_code.clone();
    let total_minor = lines
        .iter()
        .map(|(item, _)| item.unit_price_minor * i64::from(item.quantity))
        .sum();
    if total_minor > MAX_TOTAL_MINOR {
        let what = format!("must cost at most {MAX_TOTAL_MINOR} minor units, not {total_minor}");
        violations.add("items", what);
    }
    let items = lines.into_iter().map(|(item, _)| item).collect();
    Some(Priced {
        items,
        currency_code,
        total_minor,
    })
}

/// How to look an order up.
pub(super) enum By {
    OrderId(OrderId),
    RequestId(Uuid),
}

pub(super) fn get_order(request: wire::GetOrderRequest) -> Result<By, Status> {
    let mut violations = Violations::new();
    let by = match &request.by {
        Some(get_order_request::By::OrderId(id)) => {
            validate::uuid(&mut violations, "order_id", id).map(|id| By::OrderId(OrderId(id)))
        }
        Some(get_order_request::By::RequestId(id)) => {
            validate::uuid(&mut violations, "request_id", id).map(By::RequestId)
        }
        None => {
            violations.add("by", "order_id or request_id must be set");
            None
        }
    };
    violations.into_result()?;
    by.ok_or_else(super::error::unexplained)
}

/// Which order to watch, and after which revision.
pub(super) fn watch_order(request: &wire::WatchOrderRequest) -> Result<(OrderId, i64), Status> {
    let mut violations = Violations::new();
    let id = validate::uuid(&mut violations, "order_id", &request.order_id);
    if request.after_revision < 0 {
        violations.add("after_revision", "must not be negative");
    }
    violations.into_result()?;
    id.map(|id| (OrderId(id), request.after_revision))
        .ok_or_else(super::error::unexplained)
}

/// Which order to cancel, and why.
pub(super) fn cancel_order(request: wire::CancelOrderRequest) -> Result<(OrderId, String), Status> {
    let mut violations = Violations::new();
    let id = validate::uuid(&mut violations, "order_id", &request.order_id);
    let reason = request.reason;
    validate::text(&mut violations, "reason", &reason, MAX_REASON_CHARS, false);
    violations.into_result()?;
    id.map(|id| (OrderId(id), reason))
        .ok_or_else(super::error::unexplained)
}

/// Which order to hand over.
pub(super) fn collect_order(request: &wire::CollectOrderRequest) -> Result<OrderId, Status> {
    let mut violations = Violations::new();
    let id = validate::uuid(&mut violations, "order_id", &request.order_id);
    violations.into_result()?;
    id.map(OrderId).ok_or_else(super::error::unexplained)
}

/// A line of the menu: drink, price and size, in the order of the list.
type MenuKey = (String, i64, String);

/// After which drink, price and size to go on, and how many items a page has.
pub(super) fn list_menu_items(
    request: &wire::ListMenuItemsRequest,
) -> Result<(Option<MenuKey>, i64), Status> {
    let mut violations = Violations::new();
    let limit = page_size(&mut violations, request.page_size);
    let after = page_key(&mut violations, MENU_PAGES, &request.page_token, |key| {
        let (drink, rest) = key.split_once('\n')?;
        let (price_minor, size) = rest.split_once('\n')?;
        Some((drink.to_owned(), price_minor.parse().ok()?, size.to_owned()))
    });
    violations.into_result()?;
    Ok((after, limit))
}

pub(super) fn menu_key(item: &MenuItem) -> String {
    format!("{}\n{}\n{}", item.drink, item.price_minor, item.size)
}

/// What to list.
pub(super) struct ListOrders {
    pub(super) filter: Filter,
    pub(super) before: Option<OrderId>,
    pub(super) limit: i64,
    /// Canonical text of the list, for its page tokens.
    pub(super) pages: String,
}

pub(super) fn list_orders(request: &wire::ListOrdersRequest) -> Result<ListOrders, Status> {
    let mut violations = Violations::new();
    let limit = page_size(&mut violations, request.page_size);
    let name = &request.customer_name;
    validate::text(
        &mut violations,
        "customer_name",
        name,
        MAX_NAME_CHARS,
        false,
    );
    let filter = Filter {
        state: state(&mut violations, request.state),
        customer_name: Some(name.clone()).filter(|name| !name.is_empty()),
        create_time_from: time(
            &mut violations,
            "create_time_from",
            request.create_time_from,
        ),
        create_time_until: time(
            &mut violations,
            "create_time_until",
            request.create_time_until,
        ),
    };
    let pages = format!("ListOrders {filter:?}");
    let before = page_key(&mut violations, &pages, &request.page_token, |key| {
        key.parse().ok().map(OrderId)
    });
    violations.into_result()?;
    Ok(ListOrders {
        filter,
        before,
        limit,
        pages,
    })
}

fn state(violations: &mut Violations, number: i32) -> Option<State> {
    match wire::OrderState::try_from(number) {
        Ok(wire::OrderState::Unspecified) => None,
        Ok(state) => state
            .as_str_name()
            .strip_prefix("ORDER_STATE_")?
            .parse()
            .ok(),
        Err(_) => {
            violations.add("state", format!("{number} is no OrderState"));
            None
        }
    }
}

fn time(
    violations: &mut Violations,
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Option<DateTime<Utc>> {
    let time = time?;
    let nanos = u32::try_from(time.nanos).ok();
    let parsed = nanos
        .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
        .filter(|time| (1970..=9999).contains(&chrono::Datelike::year(time)));
    if parsed.is_none() {
        violations.add(field, "must be a time from 1970 to 9999");
    }
    parsed
}

fn page_size(violations: &mut Violations, requested: i32) -> i64 {
    page::size(requested).unwrap_or_else(|| {
        violations.add("page_size", "must not be negative");
        0
    })
}

fn page_key<K>(
    violations: &mut Violations,
    pages: &str,
    token: &str,
    parse: impl FnOnce(&str) -> Option<K>,
) -> Option<K> {
    if token.is_empty() {
        return None;
    }
    let key = page::decode(pages, token).and_then(|key| parse(&key));
    if key.is_none() {
        violations.add(
            "page_token",
            "was not given out by this call with these filters",
        );
    }
    key
}
