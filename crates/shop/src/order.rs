//! `shop order`: places one order and shows what becomes of it, live, until it is READY.

use std::time::Duration;

use anyhow::{Result, bail};
use prost_types::Timestamp;
use proto::reception::v1::{
    Order, OrderHistoryEntry, OrderState, PlaceOrderItem, RefundState, WatchOrderRequest,
    reception_service_client::ReceptionServiceClient, watch_order_response::Update,
};
use tonic::{Request, Streaming, transport::Channel};

use crate::{
    customers::{self, Customer, History},
    dir,
    part::Part,
    state, status,
};

/// Errors for people, with their details.
pub(crate) mod explain;

/// How long an unsure answer is asked for again, with the same `request_id`.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to order.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Id of a drink on the menu.
    #[arg(long, default_value = "latte")]
    drink: String,
    /// Id of a size.
    #[arg(long, default_value = "small")]
    size: String,
    /// Units.
    #[arg(long, default_value_t = 1)]
    quantity: i32,
    /// Lines instead of the one above, each as drink/size/quantity.
    #[arg(long = "item", value_name = "DRINK/SIZE/QUANTITY", value_parser = line,
          conflicts_with_all = ["drink", "size", "quantity"])]
    items: Vec<PlaceOrderItem>,
    /// What to call out when it is ready.
    #[arg(long, default_value = "Ada")]
    name: String,
    /// What to charge; `tok_declined` is declined.
    #[arg(long, default_value = "tok_visa")]
    payment_token: String,
    /// A reception elsewhere than the shop on this machine.
    #[arg(long, env = "SHOP_RECEPTION", value_name = "URL")]
    reception: Option<String>,
}

fn line(text: &str) -> Result<PlaceOrderItem, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [drink, size, quantity] = parts[..] else {
        return Err("write it as drink/size/quantity: latte/large/2".to_owned());
    };
    let quantity = quantity
        .parse()
        .map_err(|_| format!("{quantity:?} is no number"))?;
    Ok(customers::item(drink, size, quantity))
}

/// Places the order and follows it; an error if it ends without coffee.
pub async fn run(options: Options, dir: &dir::Options) -> Result<()> {
    let url = state::url(options.reception.as_deref(), Part::Reception, dir)?;
    let customer = Customer::new(&url, History::default())?;
    let order = place(&options, &customer).await?;
    headline(&order);
    let over = follow(&customer, &order, |order| is_over(order.state())).await?;
    if options.reception.is_none() {
        let shop = status::called();
        anstream::println!("{shop} trace {} shows where its time went", order.order_id);
    }
    match over.state() {
        OrderState::Ready | OrderState::Collected => Ok(()),
        state if over.refund_state() == RefundState::Pending => bail!(
            "order {} ended {}; what was charged goes back",
            over.order_id,
            name(state)
        ),
        state if over.refund_state() == RefundState::Done => bail!(
            "order {} ended {}; what was charged is back",
            over.order_id,
            name(state)
        ),
        state => bail!("order {} ended {}", over.order_id, name(state)),
    }
}

async fn place(options: &Options, customer: &Customer) -> Result<Order> {
    let mut request = customers::order(&options.drink, &options.size, options.quantity);
    request.customer_name.clone_from(&options.name);
    request.payment_token.clone_from(&options.payment_token);
    if !options.items.is_empty() {
        request.items.clone_from(&options.items);
    }
    let placed = customer.place_patiently(request, PATIENCE).await;
    placed.map_err(|status| explain::error(&status))
}

fn headline(order: &Order) {
    let bold = anstyle::Style::new().bold();
    let total = order.total.clone().unwrap_or_default();
    let lines: Vec<String> = order
        .items
        .iter()
        .map(|item| format!("{} × {} {}", item.quantity, item.size, item.drink))
        .collect();
    let (lines, name) = (lines.join(", "), &order.customer_name);
    let (units, cents) = (total.amount_minor / 100, total.amount_minor % 100);
    anstream::println!(
        "{bold}{lines}{bold:#} for {name}: {units}.{cents:02} {}",
        total.currency_code
    );
    anstream::println!("order {}", order.order_id);
}

/// Prints each change once, until `done`. A stream that breaks is opened again after the last revision
/// shown.
pub(crate) async fn follow(
    customer: &Customer,
    placed: &Order,
    done: impl Fn(&Order) -> bool,
) -> Result<Order> {
    let mut shown = 0;
    show(placed, &mut shown);
    // Nothing more may come of it: its stream would end without a word.
    if done(placed) {
        return Ok(placed.clone());
    }
    loop {
        let mut updates = watch(customer, &placed.order_id, shown).await?;
        while let Some(update) = updates.message().await.unwrap_or_default() {
            let Some(Update::Order(order)) = update.update else {
                continue;
            };
            show(&order, &mut shown);
            if done(&order) {
                return Ok(order);
            }
        }
        anstream::eprintln!("the stream ended; watching on from revision {shown}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn watch(
    customer: &Customer,
    order_id: &str,
    after_revision: i64,
) -> Result<Streaming<proto::reception::v1::WatchOrderResponse>> {
    let mut client = ReceptionServiceClient::<Channel>::new(customer.channel());
    let watch = WatchOrderRequest {
        order_id: order_id.to_owned(),
        after_revision,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match client.watch_order(Request::new(watch.clone())).await {
            Ok(updates) => return Ok(updates.into_inner()),
            Err(status) if tokio::time::Instant::now() > deadline => {
                return Err(explain::error(&status));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// Whether its customer has nothing to wait for but, at most, a refund: the stream goes on until that
/// is done.
fn is_over(state: OrderState) -> bool {
    matches!(
        state,
        OrderState::Ready
            | OrderState::Collected
            | OrderState::Declined
            | OrderState::Cancelled
            | OrderState::Failed
    )
}

/// Prints what of the history is newer than what was shown.
fn show(order: &Order, shown: &mut i64) {
    let Some(began) = order.create_time else {
        return;
    };
    for entry in order.history.iter().filter(|entry| entry.revision > *shown) {
        print(entry, &began);
    }
    *shown = order.revision;
}

fn print(entry: &OrderHistoryEntry, began: &Timestamp) {
    let style = match entry.state() {
        OrderState::Ready | OrderState::Collected => anstyle::AnsiColor::Green.on_default().bold(),
        OrderState::Declined | OrderState::Cancelled | OrderState::Failed => {
            anstyle::AnsiColor::Red.on_default().bold()
        }
        _ => anstyle::AnsiColor::Cyan.on_default(),
    };
    let elapsed = entry
        .time
        .map_or(0.0, |time| seconds(&time) - seconds(began));
    let state = name(entry.state());
    anstream::println!(
        "{elapsed:>9.3} s  {style}{state:<17}{style:#} {}",
        entry.detail
    );
}

fn seconds(time: &Timestamp) -> f64 {
    // Good to a fraction of a microsecond for the next centuries.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let whole = time.seconds as f64;
    whole + f64::from(time.nanos) / 1e9
}

pub(crate) fn name(state: OrderState) -> &'static str {
    state.as_str_name().trim_start_matches("ORDER_STATE_")
}
