//! What drinks cost, for whoever is ordering now.
//!
//! The menu is read for every order, because prices are rows that may change at any
//! time; but once for all calls that wait for it.

use crate::store::read::{self, MenuItem};
use batching::Work;
use sqlx::PgConnection;
use std::{collections::HashMap, sync::Arc};

/// The menu by drink and size.
pub type Menu = HashMap<(String, String), MenuItem>;

/// Reads the menu.
pub struct Pricing;

impl Work for Pricing {
    type Item = ();
    type Answer = Arc<Menu>;

    async fn apply(&self, conn: &mut PgConnection, items: &[()]) -> sqlx::Result<Vec<Arc<Menu>>> {
        let menu = read::whole_menu(conn).await?.into_iter();
        let menu: Menu = menu
            .map(|item| ((item.drink.clone(), item.size.clone()), item))
            .collect();
        let menu = Arc::new(menu);
        Ok(items.iter().map(|()| menu.clone()).collect())
    }
}
