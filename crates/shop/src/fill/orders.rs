//! Which orders: their ids, times, and what was ordered.

use std::{collections::HashSet, ops::Range};

use anyhow::{Context as _, Result, ensure};
use chrono::{TimeDelta, Utc};
use reception::order::Item;
use sqlx::types::Json;
use uuid::{NoContext, Timestamp, Uuid};

use crate::books::Ledgers;

/// The time over which the orders are spread evenly; it ends a day ago.
const DAYS: i64 = 30;
/// From order to charge.
const CHARGED_AFTER_MS: u64 = 3;

/// When the orders were placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    begin_ms: u64,
    length_ms: u64,
    orders: u64,
}

/// Ids of some orders, oldest first, and of their payments.
pub(super) struct Ids {
    pub(super) orders: Vec<Uuid>,
    pub(super) payments: Vec<Uuid>,
}

impl Span {
    /// So many orders, before today.
    pub(super) fn past(orders: u64) -> Self {
        let begin = Utc::now() - TimeDelta::days(DAYS + 1);
        Self {
            begin_ms: u64::try_from(begin.timestamp_millis()).unwrap_or(0),
            length_ms: u64::try_from(TimeDelta::days(DAYS).num_milliseconds()).unwrap_or(0),
            orders,
        }
    }

    /// Fresh ids for some of them. All three databases need the same.
    pub(super) fn ids(&self, some: Range<u64>) -> Ids {
        let placed = some.map(|order| self.begin_ms + self.length_ms * order / self.orders);
        let (orders, payments) = placed
            .map(|ms| (id_of(ms), id_of(ms + CHARGED_AFTER_MS)))
            .unzip();
        Ids { orders, payments }
    }
}

fn id_of(millis: u64) -> Uuid {
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1_000, nanos))
}

/// What is ordered in turn, one drink each: whatever is on the menu and can be made. One column per
/// field, as the statements want it.
#[derive(Debug, Default)]
pub(super) struct Menu {
    pub(super) items: Vec<Json<Vec<Item>>>,
    pub(super) totals: Vec<i64>,
    pub(super) drinks: Vec<String>,
    pub(super) sizes: Vec<String>,
}

impl Menu {
    pub(super) async fn read(ledgers: &Ledgers) -> Result<Self> {
        let priced: Vec<(String, String, i64)> =
            sqlx::query_as("select drink, size, price_minor from menu_items order by drink, size")
                .fetch_all(&ledgers.reception)
                .await
                .context("reception's database does not answer; is the shop open?")?;
        let made = sqlx::query_as("select drink, size from recipes")
            .fetch_all(&ledgers.barista)
            .await
            .context("the barista's database does not answer; is the shop open?")?;
        let made: HashSet<(String, String)> = made.into_iter().collect();
        let mut menu = Self::default();
        for (drink, size, price_minor) in priced {
            if made.contains(&(drink.clone(), size.clone())) {
                menu.add(drink, size, price_minor);
            }
        }
        ensure!(!menu.totals.is_empty(), "nothing on the menu can be made");
        Ok(menu)
    }

    fn add(&mut self, drink: String, size: String, unit_price_minor: i64) {
        self.items.push(Json(vec![Item {
            drink: drink.clone(),
            size: size.clone(),
            quantity: 1,
            unit_price_minor,
        }]));
        self.totals.push(unit_price_minor);
        self.drinks.push(drink);
        self.sizes.push(size);
    }
}
